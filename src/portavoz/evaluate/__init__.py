"""What a voice is worth: figures beside recordings and beside another voice, and pages for people's ears.

report (`evaluate`), page (the report as HTML), listening (blind pages), ratings (their results joined); below them
judge (word errors), distance (cepstra, pitch), heard (STOI, PESQ, a model's MOS), speaking (a voice in a process of
its own), halves (a compact voice's parts). Each is a module of its own; import from there.
"""

"""Evaluation of voices: figures against recordings and against another voice, and pages for listening tests.

report (`evaluate`), page (the report as HTML), listening (blind tests), ratings (their answers joined); below them
asr_wer (word errors), distance (cepstra, pitch), objective_metrics (STOI, PESQ, a model's MOS), speaking (synthesis in
a separate process), stage_ablation (a voice's stages apart). Each is a module of its own; import from there.
"""

"""SpeechT5 in the package `transformers`, and its text encoder by another author's hand. The family's only torch."""

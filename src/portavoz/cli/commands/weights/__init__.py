"""Account for every tensor of a checkpoint; convert it, compare two, repair what is certain.

Examples:
  portavoz weights audit model.safetensors
  portavoz weights convert pytorch_model.bin model.safetensors --trust-pickle
"""

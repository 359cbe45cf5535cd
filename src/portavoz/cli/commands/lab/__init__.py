"""Find the first wrong layer of a port, and the likely cause: trace, compare, and swap stages of two implementations.

Examples:
  portavoz lab compare my_reference:run my_port:run
  portavoz lab kit FAMILY -o kit/
"""

"""What the exit code of a command means; docs/guide/say.md has the table."""

OK = 0
FAIL = 1  # a comparison, an audit or a health check found a fault
USAGE = 2  # the command line, a file or an installation has to change
UNDECIDABLE = 3  # a comparison that can neither pass nor fail
CRASHED = 4  # a program that the caller named raised an error of its own
INTERNAL = 70  # a defect of portavoz (EX_SOFTWARE of sysexits.h)
SIGNAL = 128  # plus the signal's number: 130 after Ctrl-C, 141 for a closed pipe, 143 after SIGTERM

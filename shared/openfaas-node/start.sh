#!/bin/sh
# Starts a function: `start.sh PROGRAM ARGUMENTS`. Memory holds content, and core files hold memory (content.none).
set -e
# No core file. Only a shell can set this; what the program starts inherits it.
ulimit -c 0
# Where the node pipes cores to a program (systemd-coredump), that limit does not count: this leaves them without memory.
echo 0 2>/dev/null >"/proc/$$/coredump_filter" || :
exec "$@"

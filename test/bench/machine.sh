#!/bin/sh
# One line for a section of docs/benchmarks.md: what it was measured on. usage: machine.sh [DIRECTORY]
set -eu

echo "Machine: $(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)), $(awk '/^MemTotal/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo),"
echo "Linux $(uname -r), $(findmnt -n -o FSTYPE -T "${1:-/tmp}") on $(findmnt -n -o SOURCE -T "${1:-/tmp}" | sed 's/\[.*//'), load $(cut -d' ' -f1 /proc/loadavg) at the end."

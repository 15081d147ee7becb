#!/bin/sh
# Greets whoever is named.

name=${1:-world}

greeting="Hello"

say() { echo "$*!"; }

say "$greeting," "$name"

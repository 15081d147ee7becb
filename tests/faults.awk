# The fault table with the outcome of this run: `awk -f tests/faults.awk fixtures/faults.tsv -`, fed by `cargo test`.
BEGIN { FS = "\t" }
FNR == NR { order[++rows] = $1; injected[$1] = $2; demanded[$1] = $3; next }
match($0, /row_[0-9][0-9]_/) && / \.\.\. / {
    row = substr($0, RSTART + 4, 2)
    total[row]++
    if ($0 ~ /\.\.\. ok$/) passed[row]++
}
/^error|panicked/ { print }
END {
    for (n = 1; n <= rows; n++) {
        row = order[n]
        state = total[row] == 0 ? "NOT RUN" : (passed[row] == total[row] ? "holds" : "BROKEN")
        if (state != "holds") bad = 1
        printf "%s  %-8s %d/%d  %s\n                  -> %s\n", row, state, passed[row], total[row], injected[row], demanded[row]
    }
    exit bad
}

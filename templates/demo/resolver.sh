# Stands for the agent that merges what git cannot: here its answer is written down beforehand.
cat > /dev/null # the prompt: both tasks, their instructions, messages and diffs, and the three sides
echo "One side greets politely, the other welcomes people: the line can do both."
awk '
    /^<<<<<<< / { print "say \"$greeting,\" \"dear\" \"$name\" \"and welcome\""; inside = 1 }
    !inside { print }
    /^>>>>>>> / { inside = 0 }
' greet.sh > greet.sh.merged
cat greet.sh.merged > greet.sh
rm greet.sh.merged
echo "<promise>COMPLETE</promise>"

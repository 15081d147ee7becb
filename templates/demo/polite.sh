echo "I make the greeting polite."
sleep 1
sed -i 's/^say "$greeting,"/& "dear"/' greet.sh
echo "sh greet.sh Ada | grep -q 'Hello, dear Ada'" > checks/polite.sh
git add -A
git commit -q -m "Greet politely"
echo "Done: a polite greeting and a check for it."

echo "I let the greeting welcome people."
sleep 1
sed -i 's/^say "$greeting," "$name"/& "and welcome"/' greet.sh
echo "sh greet.sh Ada | grep -q 'Ada and welcome!'" > checks/welcome.sh
git add -A
git commit -q -m "Welcome people"
echo "Done: people are welcomed, and a check says so."

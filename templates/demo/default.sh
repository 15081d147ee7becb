echo "I let the default name come from the environment."
sleep 1
sed -i 's/^name=.*/name=${1:-${USERNAME:-world}}/' greet.sh
echo "USERNAME=Grace sh greet.sh | grep -q 'Grace!'" > checks/default.sh
git add -A
git commit -q -m "Take the default name from USERNAME"
echo "Done: USERNAME is the default name."

sh greet.sh Ada | grep -q 'Ada'

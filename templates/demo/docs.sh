echo "I write the documentation."
sleep 1
printf '# greet\n\n    sh greet.sh NAME\n\nprints a greeting.\n' > README.md
echo "grep -q 'sh greet.sh NAME' README.md" > checks/docs.sh
echo "I forget to commit; wt commits for me."

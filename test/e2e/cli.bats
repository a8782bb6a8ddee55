#!/usr/bin/env bats
# The command line itself: help, wrong usage, the version, completion. Needs no root and starts nothing.

bats_require_minimum_version 1.5.0

: "${SLUICE:?the binary to test}"

# Every command, as the completion's list has them.
commands() {
	"$SLUICE" completion bash | sed -n "s/^\t\t_sluice_words '\(.*\)'/\1/p" | head -n 1
}

options() {
	"$SLUICE" completion bash | sed -n "/^\t$1:\*)/,/;;/s/^\t\t\t_sluice_words '--help *\(.*\)'/\1/p" | head -n 1
}

# complete WORD...: what the shell would offer for the last word; one a line.
complete_words() {
	COMP_WORDS=(sluice "$@")
	COMP_CWORD=$#
	_sluice
	printf '%s\n' "${COMPREPLY[@]}"
}

@test "help lists every command, and every command has help of its own, the same both ways" {
	run -0 "$SLUICE" help
	list=$output
	names=$(commands)
	[ "$(wc -w <<<"$names")" -ge 12 ]
	for name in $names; do
		echo "command $name"
		grep -q "^  $name  *[A-Za-z]" <<<"$list"
		run -0 "$SLUICE" help "$name"
		[[ $output == "Usage: sluice $name"* ]]
		asked=$output
		run -0 "$SLUICE" "$name" --help
		[ "$output" = "$asked" ]
	done
}

@test "help names every option that a command takes" {
	count=0
	for name in $(commands); do
		text=$("$SLUICE" help "$name")
		for option in $(options "$name"); do
			echo "sluice $name $option"
			grep -q -e "[[ ]${option}[] ,)]" <<<"$text"
			count=$((count + 1))
		done
	done
	[ "$count" -ge 20 ]
}

@test "wrong usage ends with 2, says why on standard error, and what may have been meant" {
	while IFS='|' read -r words want; do
		echo "sluice $words"
		# shellcheck disable=SC2086 # words of a command line
		run -2 --separate-stderr "$SLUICE" $words
		[ -z "$output" ] || [ -z "$words" ]
		# shellcheck disable=SC2154 # run sets it
		echo "$stderr"
		grep -q -F -e "$want" <<<"$stderr"
	done <<-'EOF'
		rnu|'rnu' is no command; did you mean 'run'?
		comp|'comp' is no command; did you mean 'completion'?
		xyzzy|'xyzzy' is no command; 'sluice help' lists them
		help verson|'verson' is no command; did you mean 'version'?
		up --data-dri x|there is no option '--data-dri'; did you mean '--data-dir'?
		up --until_idle=true|there is no option '--until_idle=true'; did you mean '--until-idle'?
		up --zzz|there is no option '--zzz'; 'sluice help up'
		up --data-dir|a value is missing after '--data-dir'
		up --api-only=maybe|true or false is wanted, not 'maybe'
		up more|'more' is one word too many
		controller --runtime-workers many|--runtime-workers: 'many' is not a whole number
		run|one SOURCE is wanted
		run --cache lots /|--cache:
		crds nonsense|there is no kind 'nonsense'
		crds -o xml|-o takes yaml, json or markdown
		version -o yaml|only json is known here
		completion fish|one shell is wanted, bash or zsh
	EOF
}

@test "without a command: the list of commands, and status 2" {
	run -2 "$SLUICE"
	[[ $output == *"Usage: sluice COMMAND"* ]]
}

@test "version: a line, or JSON" {
	run -0 "$SLUICE" version
	[[ $output =~ ^sluice\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	line=$output
	[ "$("$SLUICE" --version)" = "$line" ]
	[ "sluice $("$SLUICE" version -o json | jq -r .version)" = "$line" ]
}

@test "bash completes commands, options and values" {
	"$SLUICE" completion bash >"$BATS_TEST_TMPDIR/sluice"
	bash -n "$BATS_TEST_TMPDIR/sluice"
	# shellcheck disable=SC1091 # just made
	source "$BATS_TEST_TMPDIR/sluice"
	[ "$(complete_words ru)" = run ]
	[ "$(complete_words up --un)" = --until-idle ]
	[ "$(complete_words run -o '')" = json ]
	[ "$(complete_words run -o = j)" = json ]
	[ "$(complete_words crds -o m)" = markdown ]
	[ "$(complete_words crds datas)" = dataset ]
	[ "$(complete_words get reserv)" = reservoirruntime ]
	[ "$(complete_words get -o na)" = name ]
	[ "$(complete_words controller --log-level w)" = warn ]
	[ "$(complete_words completion z)" = zsh ]
	[ "$(complete_words help vers)" = version ]
	mkdir "$BATS_TEST_TMPDIR/a b"
	: >"$BATS_TEST_TMPDIR/a file"
	[ "$(complete_words up --data-dir "$BATS_TEST_TMPDIR/a")" = "$BATS_TEST_TMPDIR/a b" ]
	[ "$(complete_words up --kubeconfig "$BATS_TEST_TMPDIR/a" | wc -l)" -eq 2 ]
	[ -z "$(complete_words up --listen '')" ]
}

@test "the zsh script names every command and is a valid one" {
	run -0 "$SLUICE" completion zsh
	[ "${lines[0]}" = "#compdef sluice" ]
	for name in $(commands); do
		grep -q "^	$name)" <<<"$output"
	done
	grep -q "'--namespace=\[the namespace" <<<"$output"
	grep -q "'-n+\[the namespace" <<<"$output"
	if command -v zsh >/dev/null; then
		zsh -n <<<"$output"
	fi
}

@test "completion tells when its output cannot be written" {
	run -1 bash -c "\"$SLUICE\" completion bash >/dev/full"
	[[ $output == *"could not be written"* ]]
}

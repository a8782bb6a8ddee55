# The head that most suites share: one server a file, a namespace a test. A suite that needs more defines these functions itself, after loading.

# shellcheck source=helpers.bash
source "$(dirname "${BASH_SOURCE[0]}")/helpers.bash"

setup_file() {
	start_api
}

teardown_file() {
	end_api
}

setup() {
	make_namespace
}

teardown() {
	drop_namespace
}

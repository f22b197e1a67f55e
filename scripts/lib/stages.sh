# shellcheck shell=bash disable=SC2034
# The stages of the test run, in the order in which they begin; sourced by scripts/test.

STAGES="setup fmt clippy build-tests build unit integration drivers matrix groups kafka-directory kafka-tools kafka-python-own compaction idempotence fixtures"

stages_list() {
    cat << 'LIST'
setup            install what the tests need by package name; nothing to do when it is there
fmt              cargo fmt --check
clippy           cargo clippy, warnings are errors
build-tests      every test of the broker and of the benchmarks, built once for all stages that run them
build            the release binaries
unit             the unit tests
integration      the tests that drive the built broker; the floor, the light client and the comparison on a tiny input
drivers          each client's driver notices a wrong record of every kind
matrix           six clients x five codecs x 100,000 messages, against 1, 2 and 4 cores; per-core and per-node share them
groups           groups of each client under load: members join, leave, crash and come back, the broker restarts
kafka-directory  a data directory written by Apache Kafka, served by a broker and compared record by record
kafka-tools      Kafka's own command-line tools against a broker, and its dump tool against what that broker stored
kafka-python-own kafka-python's own integration tests
compaction       a topic that a broker has compacted, judged by Kafka's dump tool
idempotence      each client's idempotent producer through broken connections and restarts: each message once, in order
fixtures         the directories in tests/fixtures, served and compared with their manifests
LIST
}

# What must have passed before a stage can run.
declare -A NEEDS=([unit]=build-tests [integration]=build-tests)
for stage in drivers matrix groups kafka-directory kafka-tools kafka-python-own compaction idempotence fixtures; do
    NEEDS[$stage]="setup build"
done
unset stage
# What must only have ended: cargo lets one of them at a time into the directory of debug builds.
declare -A AFTER=([build-tests]=clippy)

# Where a stage starts its brokers from: the built broker, or Apache Kafka to prove the tests themselves.
BROKER_UNDER_TEST=${PAGEWIRE_TEST_BROKER:-pagewire}

# All that is tested. One choice for every command, because another choice is another set of features, and the dependencies are built once more.
PACKAGES=(--workspace --exclude pagewire-schemas-generator)

# A stage that only wants a processor leaves it to the one beside it, which may look at a clock.
give_way() { renice -n 10 -p "$BASHPID" > /dev/null; }

stage_setup() {
    setup_everything
}

stage_fmt() {
    cargo fmt --check
}

stage_clippy() {
    # What clippy.toml forbids is forbidden to the product; tests look at files and wait as they like.
    cargo clippy "${PACKAGES[@]}" --all-targets --quiet -- -D warnings -A clippy::disallowed_methods -A clippy::disallowed_types
    cargo clippy --package pagewire --lib --bins --quiet -- -D warnings
}

stage_build_tests() {
    cargo test "${PACKAGES[@]}" --no-run
}

stage_build() {
    give_way
    cargo build --release --bins
}

stage_unit() {
    # Minutes; the bound only turns a test that hangs into one that fails.
    timeout 1200 cargo test "${PACKAGES[@]}" --no-fail-fast --quiet --lib --bins --benches
}

stage_integration() {
    # Most of them wait for a broker most of the time: more at once than there are processors.
    RUST_TEST_THREADS=4 timeout 1200 cargo test "${PACKAGES[@]}" --no-fail-fast --test '*'
}

python_test() {
    "$TOOLS/python/bin/python" "$ROOT/tests/clients/$1" "${@:2}"
}

stage_drivers() {
    python_test drivers_notice.py --broker "$BROKER_UNDER_TEST"
}

stage_matrix() {
    give_way
    python_test matrix.py --broker "$BROKER_UNDER_TEST"
}

stage_groups() {
    python_test group_history_notice.py
    python_test group_matrix.py --broker "$BROKER_UNDER_TEST"
}

stage_kafka_directory() {
    python_test kafka_directory.py --broker "$BROKER_UNDER_TEST"
}

stage_kafka_tools() {
    python_test kafka_tools.py --groups --broker "$BROKER_UNDER_TEST"
}

stage_kafka_python_own() {
    python_test kafka_python_own.py --broker "$BROKER_UNDER_TEST"
}

stage_compaction() {
    python_test compaction.py --broker "$BROKER_UNDER_TEST"
}

stage_idempotence() {
    python_test idempotence.py
}

stage_fixtures() {
    python_test fixtures.py --broker "$BROKER_UNDER_TEST"
}

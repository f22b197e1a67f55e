# shellcheck shell=bash disable=SC2034,SC2154
# What scripts/bench needs before it measures; sourced by it.

# What rows keep on the disk at the same time: Apache Kafka's segments wait for their deletion in `sustained`.
BENCH_DATA_GIB=20

# bench_fail WORDS…: what is missing, and what to do.
bench_fail() {
    echo "scripts/bench: $*" >&2
    exit 2
}

# The machine has what every row needs. Everything that is missing is said at once.
bench_checks() {
    local missing=() program room_gib
    [ "$(nproc)" -ge 2 ] || missing+=("two processors: the servers need one and the load another, and there is $(nproc)")
    for program in taskset nice kill; do
        command -v "$program" > /dev/null || missing+=("$program (packages util-linux, coreutils, procps)")
    done
    mkdir -p "$OUTPUT"
    room_gib=$(df --output=avail -B 1G "$OUTPUT" | tail -1 | tr -d ' ')
    [ "$room_gib" -ge "$BENCH_DATA_GIB" ] \
        || missing+=("$BENCH_DATA_GIB GiB of room in $OUTPUT, where there are $room_gib: BENCH_OUTPUT names another folder")
    [ "$(ulimit -n)" -ge 16384 ] || ulimit -n 16384 2> /dev/null \
        || missing+=("16384 open files for each process, where $(ulimit -n) are allowed: ulimit -n 16384")
    if [ ${#missing[@]} -gt 0 ]; then
        bench_fail "this machine lacks:$(printf '\n  %s' "${missing[@]}")"
    fi
}

# Sets KAFKA_ARGUMENTS: where Apache Kafka's jars are, or nothing if it is left out.
bench_kafka_jars() {
    local jars=${BENCH_KAFKA_JARS:-$TOOLS/java/jars} program
    KAFKA_ARGUMENTS=()
    if [ "$jars" = none ]; then
        echo "Apache Kafka is left out: no bar beside it is judged" >&2
        return
    fi
    command -v java > /dev/null || bench_fail "Apache Kafka needs Java 17 or newer (package openjdk-17-jre-headless); BENCH_KAFKA_JARS=none leaves Kafka out"
    if [ -z "${BENCH_KAFKA_JARS:-}" ]; then
        command -v mvn > /dev/null || [ -d "$jars" ] \
            || bench_fail "Apache Kafka's jars come by Maven, which is missing (package maven); BENCH_KAFKA_JARS names a folder with them, or none"
        mkdir -p "$TOOLS"
        setup_kafka_jars || bench_fail "Apache Kafka's jars could not be had by Maven, see above; BENCH_KAFKA_JARS names a folder with them, or none"
    fi
    compgen -G "$jars/kafka_*.jar" > /dev/null || bench_fail "there is no Apache Kafka in $jars: it should hold kafka_2.13-*.jar and what that needs"
    KAFKA_ARGUMENTS=(--kafka-jars "$jars")
}

# Sets IGGY_ARGUMENTS: where Apache Iggy's programs are, or nothing if it is left out.
bench_iggy() {
    local program
    IGGY_ARGUMENTS=()
    if [ -z "${BENCH_IGGY:-}" ]; then
        return
    fi
    for program in iggy-server iggy-bench; do
        [ -x "$BENCH_IGGY/$program" ] || bench_fail "there is no $program in $BENCH_IGGY: docs/measurements.md says how to build it"
    done
    IGGY_ARGUMENTS=(--iggy "$BENCH_IGGY")
}

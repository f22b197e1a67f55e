# shellcheck shell=bash disable=SC2034,SC2154
# The items of scripts/soak. Each prints what it measured on standard output, the rest on standard error, and fails if a bound is broken.

# Runs tests of the suite against the release build. Usage: suite TEST NAME=VALUE… -- FILTER…
suite() {
    local test=$1
    shift
    local settings=()
    while [ "$1" != -- ]; do settings+=("$1"); shift; done
    shift
    env TEST_BINARIES="$BIN" "${settings[@]}" cargo test --quiet --test "$test" -- --nocapture --test-threads 1 "$@" 2>&1 | tee /dev/stderr
    return "${PIPESTATUS[0]}"
}

# What the tests say of themselves, without the test runner's part.
told() { grep -oE "$1" | paste -sd ';' | sed 's/;/; /g'; }

item_kills() {
    local said
    said=$(suite crash TEST_KILLS=50 --) || return 1
    told '[0-9]+ kills: .*acknowledged' <<<"$said"
}

item_idempotence() {
    local said
    suite idempotence TEST_KILLS=50 -- >/dev/null || return 1
    said=$("${PAGEWIRE_TEST_TOOLS:-$ROOT/target/test-tools}/python/bin/python" "$ROOT/tests/clients/idempotence.py" --records 100000 2>&1 | tee /dev/stderr) || return 1
    told '[a-z-]+: [0-9]+ messages in .*' <<<"$said"
}

item_damage() {
    suite damage -- >/dev/null && echo 'tails, sealed batches and small files, on the release build'
}

item_starts() {
    local said
    said=$(suite scale TEST_PARTITIONS=2000 TEST_BYTES=$((4 << 30)) TEST_READY_MS=1000 --) || return 1
    told '(clean|unclean) start: ready after.*' <<<"$said"
}

# A million updates over ten thousand keys, cleaned; and a million with kills at random points in them, of the writing and of the cleaning.
# Kafka's dump tool, where it is installed, finds the same values in what is left.
item_compaction() {
    local said run kept=$WORK/compacted python=${PAGEWIRE_TEST_TOOLS:-$ROOT/target/test-tools}/python/bin/python
    rm -rf "$kept"
    said=$(suite compaction TEST_UPDATES=1000000 TEST_KEYS=10000 TEST_KILLS=50 TEST_KEEP="$kept" -- the_last_value killed_while_it_is) || return 1
    told '([0-9]+ updates|[0-9]+ kills).*' <<<"$said"
    if [ -x "$python" ]; then
        for run in cleaned killed; do
            said=$("$python" tests/clients/compaction.py --directory "$kept/$run/data" --topic state --values "$kept/$run/values.txt" 2>&1 | tee /dev/stderr) || return 1
            echo "DumpLogSegments, $run:$(told '[0-9]+ keys in .*' <<<"$said")"
        done
    fi
    rm -rf "$kept"
}

# The same kills for the topic of the committed offsets.
item_commits() {
    local said
    said=$(suite compaction TEST_KILLS=50 -- killed_while_commits) || return 1
    told '[0-9]+ commits, .*' <<<"$said"
}

# Produce latency while the cleaner works, against the same load without. SOAK_JUNK: a file larger than memory, to measure on memory in use.
item_cleaning() {
    local tools=${PAGEWIRE_TEST_TOOLS:-$ROOT/target/test-tools} said
    [ -x "$tools/python/bin/python" ] || { echo 'skipped: scripts/test setup installs the clients'; return 0; }
    said=$(PAGEWIRE_BINARY=$BIN/pagewire "$tools/python/bin/python" tests/clients/beside_cleaning.py ${SOAK_JUNK:+--junk "$SOAK_JUNK"} --keep "$WORK/cleaning.jsonl" 2>&1 |
        tee /dev/stderr) || return 1
    told '(cores|  p|  cleaner).*' <<<"$said"
}

item_idle() {
    local said
    said=$(suite idle TEST_IDLE_PERCENT=1 --) || return 1
    told '(idle, 4 cores|[0-9]+ idle).*' <<<"$said"
}

item_group_scale() {
    local said
    said=$(suite group_scale TEST_MEMBERS=1000 TEST_PARTITIONS=10000 TEST_REBALANCES=5 TEST_GROUPS=1000 TEST_OFFSETS=100 --) || return 1
    told '[0-9]+ (members|groups) ?.*' <<<"$said"
}

# Usage: start_broker FLAG…; a fresh directory unless $WORK/data is there.
start_broker() {
    "$BIN/pagewire" serve --cores 0,1 --listen "127.0.0.1:$PORT" --data-dir "$WORK/data" "$@" >/dev/null 2>"$WORK/broker.log" &
    BROKER=$!
    for _ in $(seq 600); do
        grep -q '^ready after' "$WORK/broker.log" && return
        sleep 0.1
    done
    cat "$WORK/broker.log" >&2
    return 1
}

# Usage: stop_broker SIGNAL
stop_broker() {
    [ -n "$BROKER" ] || return 0
    kill "-$1" "$BROKER" 2>/dev/null
    wait "$BROKER" 2>/dev/null
    BROKER=
}

load() { "$BIN/pagewire-load" --quiet --self-check warn --bootstrap "127.0.0.1:$PORT" "$@" >&2; }

# Usage: core_threads; the ids of the broker's core threads.
core_threads() {
    local task
    for task in "/proc/$BROKER/task"/*; do
        case $(<"$task/comm") in core-*) echo "${task##*/}" ;; esac
    done
}

# Eight members of each client; the suite has fewer.
item_groups() {
    local tools=${PAGEWIRE_TEST_TOOLS:-$ROOT/target/test-tools} said
    [ -x "$tools/python/bin/python" ] || { echo 'skipped: scripts/test setup installs the clients'; return 0; }
    export PAGEWIRE_TEST_TOOLS=$tools PAGEWIRE_BINARY=$BIN/pagewire PYTHONDONTWRITEBYTECODE=1
    said=$("$tools/python/bin/python" tests/clients/group_matrix.py --members 8 | tee /dev/stderr) || return 1
    echo "8 members of each client: $(tail -1 <<<"$said"); $(grep -o 'seed [0-9]*' <<<"$said" | head -1)"
}

# Produce, tail and long polls at a steady rate, and every system call of the core threads counted for ten seconds.
item_futexes() {
    command -v strace >/dev/null || { echo 'skipped: strace is not installed'; return 0; }
    rm -rf "$WORK/data"
    start_broker || return 1
    load --partitions 8 --rate 20000 --duration 20s --producers 4 --consumers 4 &
    local loading=$!
    # What is made once (buffers, threads, prepared segments) is made in the first seconds.
    sleep 6
    local attach=() thread
    for thread in $(core_threads); do attach+=(-p "$thread"); done
    timeout -s INT 10 strace -c -o "$WORK/strace.txt" "${attach[@]}"
    wait "$loading" || { stop_broker KILL; return 1; }
    stop_broker TERM
    cat "$WORK/strace.txt" >&2
    local calls futexes
    calls=$(awk '$NF == "total" { print $(NF - 1) }' "$WORK/strace.txt")
    futexes=$(awk '$NF == "futex" { print $4 }' "$WORK/strace.txt")
    echo "${futexes:-0} futex calls among ${calls:-0} system calls of the core threads in 10 s"
    [ "${futexes:-0}" -eq 0 ] && [ "${calls:-0}" -gt 1000 ]
}

# Usage: cpu_ticks; user and system time of the broker, in clock ticks.
cpu_ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$BROKER/stat"; }

# Usage: counter NAME; its sum over the cores, from the table that SIGUSR1 shows.
counter() { awk -v name="$1" '$1 == name { sum = 0; for (i = 2; i <= NF; i++) sum += $i } END { printf "%.0f\n", sum }' "$WORK/broker.log"; }

# Reads everything ROUNDS times with one way of sending. Prints milliseconds of the broker's processors per GB in the cheapest round (a
# machine with other work makes the others dearer), bytes spliced, bytes copied.
read_all() {
    start_broker --fetch-transfer "$1" || return 1
    local round before ticks best=
    # The first reading looks at headers and opens files.
    for round in $(seq 0 "$ROUNDS"); do
        before=$(cpu_ticks)
        load --mode consume --no-create --topic sealed --messages "$MESSAGES" --fetch-partition-bytes 4M || return 1
        ticks=$(($(cpu_ticks) - before))
        [ "$round" -gt 0 ] && { [ -z "$best" ] || [ "$ticks" -lt "$best" ]; } && best=$ticks
    done
    kill -USR1 "$BROKER"
    sleep 1
    stop_broker TERM
    cat "$WORK/broker.log" >&2
    echo "$((best * 1000 * 1000000000 / $(getconf CLK_TCK) / (MESSAGES * MESSAGE_BYTES))) $(counter file_bytes_spliced) $(counter file_bytes_copied)"
}

# Sealed segments in the page cache, read by the same consumer in both ways.
item_transfer() {
    ROUNDS=6 MESSAGES=20000 MESSAGE_BYTES=50000
    rm -rf "$WORK/data"
    start_broker || return 1
    load --mode produce --topic sealed --partitions 2 --messages $MESSAGES --message-bytes $MESSAGE_BYTES --batch-bytes 512K \
        --topic-config segment.bytes=67108864 || return 1
    stop_broker TERM
    local spliced copied
    spliced=$(read_all auto) && copied=$(read_all copy) || return 1
    local ms bytes in_memory copy_ms copy_bytes
    read -r ms bytes in_memory <<<"$spliced"
    read -r copy_ms _ copy_bytes <<<"$copied"
    echo "auto: $ms ms of processor per GB, $bytes bytes spliced, $in_memory copied; copy: $copy_ms ms, $copy_bytes copied"
    [ "$in_memory" -lt $((bytes / 1000)) ] && [ "$copy_bytes" -ge "$bytes" ] && [ "$ms" -lt "$copy_ms" ]
}

# shellcheck shell=bash
# Runs stages, two at a time, times them, counts what passed and failed; sourced by scripts/test.
#
# A stage is a function `stage_NAME`. It fails by its exit code. If the last line it prints reads `N passed, N failed`, these
# are added up; cargo's own `test result:` lines are too; a stage that counts nothing is one test.
#
# Two tables of stages.sh say what may run beside what: a stage begins when all that NEEDS and AFTER name have ended, as far as they were asked for,
# and it is not run if one that it needs has failed. What a stage prints is shown when it has ended, whole; with one lane, while it runs.

# How many stages run at the same time.
LANES=${PAGEWIRE_TEST_LANES:-2}
# Each lane's brokers have ports of their own, a share of these. Below the range from which the kernel hands out ports.
PORTS=${PAGEWIRE_TEST_PORTS:-24000-29999}

# Of each stage: waiting, running, passed, failed, or not run. And its lane, its process, when it began.
declare -A state lane_of process_of started
names=() summary=() failed_stages=()
passed=0 failed=0

run_stages() {
    names=("$@")
    [ ${#names[@]} -gt 0 ] || read -r -a names <<< "$STAGES"
    local name total_started=$SECONDS
    for name in "${names[@]}"; do
        if ! declare -F "stage_${name//-/_}" > /dev/null; then
            echo "no stage is called '$name'; there are: $STAGES" >&2
            return 2
        fi
        state[$name]=waiting
    done
    logs=$(mktemp -d)
    # Each stage is a process group of its own: it hears an interrupt as it would in the foreground, and can be ended whole.
    set -m
    trap end_all EXIT
    trap 'exit 130' INT TERM
    # Not `while start_stages`: within a condition `set -e` is switched off, for the stages too.
    while :; do
        start_stages
        [ ${#process_of[@]} -gt 0 ] || break
        wait_for_one
    done
    echo
    echo "stages:"
    printf '  %s\n' "${summary[@]}"
    printf '  %-16s %5d s\n' "in all" $((SECONDS - total_started))
    if [ ${#failed_stages[@]} -gt 0 ]; then
        echo "FAILED: ${failed_stages[*]}"
    fi
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

# Starts what can run now, in the order of the list, as long as a lane is free.
start_stages() {
    local name lane
    for name in "${names[@]}"; do
        [ "${state[$name]}" = waiting ] || continue
        lacks_a_need "$name" && continue
        have_ended ${NEEDS[$name]:-} ${AFTER[$name]:-} || continue
        lane=$(free_lane) || return 0
        start_stage "$name" "$lane"
    done
}

# lacks_a_need NAME: true if something that it needs has failed; says so, once.
lacks_a_need() {
    local name=$1 need
    for need in ${NEEDS[$name]:-}; do
        case ${state[$need]:-} in
            failed | "not run")
                echo "-- $name: not run, because $need failed"
                state[$name]="not run"
                failed_stages+=("$name (not run)")
                failed=$((failed + 1))
                return 0
                ;;
        esac
    done
    return 1
}

# have_ended NAME…: true if none of them is still to come.
have_ended() {
    local name
    for name in "$@"; do
        case ${state[$name]:-} in waiting | running) return 1 ;; esac
    done
}

free_lane() {
    local lane
    for ((lane = 0; lane < LANES; lane++)); do
        case " ${lane_of[*]} " in *" $lane "*) ;; *) echo "$lane"; return ;; esac
    done
    return 1
}

# ports_of LANE: its part of PORTS, as FIRST-LAST.
ports_of() {
    local first=${PORTS%-*} last=${PORTS#*-} share
    share=$(((last - first + 1) / LANES))
    echo "$((first + $1 * share))-$((first + ($1 + 1) * share - 1))"
}

start_stage() {
    local name=$1 lane=$2
    echo "== $name"
    state[$name]=running
    started[$name]=$SECONDS
    lane_of[$name]=$lane
    # A child of its own, so that `set -e` works inside the stage and its folder and variables stay its own.
    (
        set +m
        trap - EXIT INT TERM
        export PAGEWIRE_TEST_PORTS
        PAGEWIRE_TEST_PORTS=$(ports_of "$lane")
        if [ "$LANES" -gt 1 ]; then exec > "$logs/$name" 2>&1; else exec > >(tee "$logs/$name") 2>&1; fi
        set -euo pipefail
        "stage_${name//-/_}"
    ) < /dev/null &
    process_of[$name]=$!
}

wait_for_one() {
    local ended code=0 name
    wait -n -p ended "${process_of[@]}" || code=$?
    for name in "${!process_of[@]}"; do
        [ "${process_of[$name]}" = "$ended" ] && break
    done
    unset "process_of[$name]" "lane_of[$name]"
    end_stage "$name" "$code"
}

# end_stage NAME CODE: counts its results and says how it ended.
end_stage() {
    local name=$1 code=$2 seconds=$((SECONDS - started[$1])) counted_passed counted_failed
    if [ "$LANES" -gt 1 ]; then
        echo "== $name, what it said"
        cat "$logs/$name"
    fi
    read -r counted_passed counted_failed < <(count_results "$logs/$name" "$code")
    passed=$((passed + counted_passed))
    failed=$((failed + counted_failed))
    if [ "$code" -ne 0 ]; then
        state[$name]=failed
        failed_stages+=("$name")
        echo "-- $name FAILED (exit code $code) after $seconds s: $counted_passed passed, $counted_failed failed"
    else
        state[$name]=passed
        echo "-- $name: $seconds s, $counted_passed passed"
    fi
    summary+=("$(printf '%-16s %5d s  %6d passed  %3d failed' "$name" "$seconds" "$counted_passed" "$counted_failed")")
}

# count_results LOG CODE: prints how many passed and failed. A failed stage counts at least one failure.
count_results() {
    awk -v code="$2" '
        /^test result:/ { passed += $4; failed += $6; counted = 1 }
        { last = $0 }
        END {
            if (last ~ /^[0-9]+ passed, [0-9]+ failed$/) { split(last, part, " "); passed += part[1]; failed += part[3]; counted = 1 }
            if (code != 0 && failed == 0) failed = 1
            if (code == 0 && !counted) passed = 1
            print passed + 0, failed + 0
        }' "$1"
}

# Ends what still runs, when the run itself is ended.
end_all() {
    local process
    for process in "${process_of[@]}"; do
        kill -TERM -- "-$process" 2> /dev/null || true
    done
    rm -rf "$logs"
}

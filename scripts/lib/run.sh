# Runs stages one after the other, times them, counts what passed and failed; sourced by scripts/test.
#
# A stage is a function `stage_NAME`. It fails by its exit code. If the last line it prints reads `N passed, N failed`, these
# are added up; cargo's own `test result:` lines are too; a stage that counts nothing is one test.

run_stages() {
    local names=("$@") name log code started seconds failed_stages=() passed=0 failed=0 total_started=$SECONDS stop_reason=""
    [ ${#names[@]} -gt 0 ] || read -r -a names <<< "$STAGES"
    for name in "${names[@]}"; do
        if ! declare -F "stage_${name//-/_}" > /dev/null; then
            echo "no stage is called '$name'; there are: $STAGES" >&2
            return 2
        fi
    done
    log=$(mktemp)
    for name in "${names[@]}"; do
        if [ -n "$stop_reason" ]; then
            echo "-- $name: not run, because $stop_reason"
            failed_stages+=("$name (not run)")
            failed=$((failed + 1))
            continue
        fi
        echo "== $name"
        started=$SECONDS
        # A child of its own, so that `set -e` works inside the stage and its folder and variables stay its own.
        set +e
        (set -euo pipefail; "stage_${name//-/_}") 2>&1 | tee "$log"
        code=${PIPESTATUS[0]}
        set -e
        seconds=$((SECONDS - started))
        count_results "$log" "$code"
        passed=$((passed + counted_passed))
        failed=$((failed + counted_failed))
        if [ "$code" -ne 0 ]; then
            failed_stages+=("$name")
            echo "-- $name FAILED (exit code $code) after $seconds s: $counted_passed passed, $counted_failed failed"
            case $name in
                setup | build) stop_reason="$name failed" ;;
            esac
        else
            echo "-- $name: $seconds s, $counted_passed passed"
        fi
        summary+=("$(printf '%-16s %5d s  %6d passed  %3d failed' "$name" "$seconds" "$counted_passed" "$counted_failed")")
    done
    rm -f "$log"
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

summary=()

# count_results LOG CODE: sets counted_passed and counted_failed. A failed stage counts at least one failure.
count_results() {
    local log=$1 code=$2
    read -r counted_passed counted_failed < <(awk '
        /^test result:/ { passed += $4; failed += $6; counted = 1 }
        { last = $0 }
        END {
            if (last ~ /^[0-9]+ passed, [0-9]+ failed$/) { split(last, part, " "); passed += part[1]; failed += part[3]; counted = 1 }
            print passed + 0, failed + 0, counted + 0
        }' "$log" | while read -r passed failed counted; do
        if [ "$code" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
        if [ "$code" -eq 0 ] && [ "$counted" -eq 0 ]; then passed=1; fi
        echo "$passed $failed"
    done)
}

#!/usr/bin/env bash
# The gate: runs scenarios one after the other and ends with the worst of their exit codes.
#
#   gate.sh SCENARIO...
#
# The environment says the rest:
#   DIN              the din to use                            [din, along PATH]
#   DIN_RESULTS      where runs and JUnit files go, new each time [din-results]
#   DIN_TARGET       mqtt://HOST:PORT of a gateway of yours    [the reference gateway is started]
#   DIN_ON_INVALID   fail: an INVALID run ends with 3          [fail]
#                    verdict: it counts by its limits all the same; for scenarios that limit
#                    behaviour and no times, on machines too busy to measure times on
#
# Exit codes: 0 all passed, 1 a threshold failed, 2 bad input, 3 a run was INVALID (2 before 1
# before 3); any other code of din, such as 130, ends the gate at once.
set -euo pipefail

din=${DIN:-din}
results=${DIN_RESULTS:-din-results}
on_invalid=${DIN_ON_INVALID:-fail}

if [ $# -eq 0 ]; then
    echo "gate.sh: no scenario given; usage: gate.sh SCENARIO..." >&2
    exit 2
fi
if [ "$on_invalid" != fail ] && [ "$on_invalid" != verdict ]; then
    echo "gate.sh: DIN_ON_INVALID=$on_invalid: allowed are fail and verdict" >&2
    exit 2
fi
if [ -e "$results" ]; then
    echo "gate.sh: $results is there already: remove it, or name another place with DIN_RESULTS" >&2
    exit 2
fi
mkdir -p "$results"

bad_input=0 failed=0 invalid=0
for scenario in "$@"; do
    name=$(basename "$scenario" .toml)
    options=(--quiet --out "$results/$name" --junit "$results/junit-$name.xml")
    if [ -n "${GITHUB_ACTIONS:-}" ]; then options+=(--github); fi
    if [ -n "${DIN_TARGET:-}" ]; then options+=(--target "$DIN_TARGET"); fi
    code=0
    "$din" run "$scenario" "${options[@]}" || code=$?
    if [ "$code" -eq 3 ] && [ "$on_invalid" = verdict ]; then
        # Two blanks: the verdict of the run itself, and of nothing inside it.
        verdict=$(sed -n 's/^  "verdict": "\([a-z]*\)",$/\1/p' "$results/$name/run.json")
        echo "gate.sh: $name is INVALID; by its limits alone: ${verdict:-unknown}"
        case $verdict in
            pass) code=0 ;;
            fail) code=1 ;;
        esac
    fi
    case $code in
        0) ;;
        1) failed=1 ;;
        2) bad_input=1 ;;
        3) invalid=1 ;;
        *) exit "$code" ;;
    esac
done

if [ $bad_input -eq 1 ]; then exit 2; fi
if [ $failed -eq 1 ]; then exit 1; fi
if [ $invalid -eq 1 ]; then exit 3; fi

#!/usr/bin/env bash
# pgmpy 1.1.2: VariableElimination.query on a Markov network gives no probabilities, and its scale depends on the method.
#
# Asked for a variable of a Bayesian network, query returns a distribution, as its documentation shows. Asked for one of a
# DiscreteMarkovNetwork it returns a factor that nobody divided by its sum. The sum is not the partition function either: with
# the default (greedy) order it is, with elimination_order="MinFill" factors of other components of the graph are left out,
# so that the same question has answers of two sizes. Who compares numbers of two queries, or takes 1 - p, is wrong by any
# factor. Divide by the sum (or call normalize()), and take the partition function from elsewhere.
#
# Seen: a and b linked, c alone; the probability of a is 0.75, 0.25: greedy 120, 40; MinFill 15, 5. Bayesian network: 0.75, 0.25.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pgmpy==1.1.2
cat >"$folder/look.py" <<'PYTHON'
import warnings

warnings.simplefilter("ignore")
from pgmpy.factors.discrete import DiscreteFactor, TabularCPD
from pgmpy.inference import VariableElimination
from pgmpy.models import DiscreteBayesianNetwork, DiscreteMarkovNetwork


def tell(name, network, **options):
    values = VariableElimination(network).query(["a"], show_progress=False, **options).values
    print(name, *(f"{value:g}" for value in values))


markov = DiscreteMarkovNetwork()
markov.add_nodes_from(["a", "b", "c"])
markov.add_edge("a", "b")
markov.add_factors(
    DiscreteFactor(["a"], [2], [3, 1]),
    DiscreteFactor(["b"], [2], [1, 1]),
    DiscreteFactor(["a", "b"], [2, 2], [4, 1, 1, 4]),
    DiscreteFactor(["c"], [2], [6, 2]),
)
tell("greedy", markov)
tell("MinFill", markov, elimination_order="MinFill")
bayes = DiscreteBayesianNetwork([("a", "b")])
bayes.add_cpds(
    TabularCPD("a", 2, [[0.75], [0.25]]), TabularCPD("b", 2, [[0.8, 0.2], [0.2, 0.8]], evidence=["a"], evidence_card=[2])
)
tell("Bayesian", bayes)
PYTHON
found=$("$folder/venv/bin/python" "$folder/look.py" 2>/dev/null)
expected='greedy 120 40
MinFill 15 5
Bayesian 0.75 0.25'
printf '%s\n' "$found"
[ "$found" = "$expected" ] || { printf 'changed; expected:\n%s\n' "$expected" >&2; exit 1; }
echo "as described"

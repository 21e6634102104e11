#!/usr/bin/env bash
# adversarial-robustness-toolbox 1.20.1: SquareAttack asks the classifier three times in each iteration.
#
# Square (Andriushchenko et al. 2020) is judged by its number of queries: one in each iteration, for the new candidate. ART
# asks for the current image as well, once to see whether it is fooled already and once for its loss, though it had both
# answers in the iteration before. So max_iter=N is no budget of N queries: who counts what the classifier is asked gets three
# times what the attack needs, who takes max_iter for the budget pays three times as much against a service.
# A classifier that remembers the last few images and their answers is asked once in each iteration.
#
# Seen: with max_iter=100 and an image that is never fooled: 303 questions, about 100 different images.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check adversarial-robustness-toolbox==1.20.1 packaging
cat >"$folder/look.py" <<'PYTHON'
import numpy as np
from art.attacks.evasion import SquareAttack
from art.estimators.classification import BlackBoxClassifierNeuralNetwork

asked = []


def predict(images):
    asked.extend(image.tobytes() for image in images)
    means = images.mean((1, 2, 3))
    return np.stack((means + 100, means * 0.5), 1)  # class 0, whatever is changed


classifier = BlackBoxClassifierNeuralNetwork(predict, (3, 16, 16), 2, channels_first=True, clip_values=(0, 1))
np.random.seed(0)
attack = SquareAttack(classifier, eps=0.1, max_iter=100, verbose=False)
attack.generate(np.full((1, 3, 16, 16), 0.5, np.float32), np.array([0]))
print(len(asked), "questions;", "at most 102 different" if len(set(asked)) <= 102 else "more than 102 different")
PYTHON
found=$("$folder/venv/bin/python" "$folder/look.py")
expected='303 questions; at most 102 different'
printf '%s\n' "$found"
[ "$found" = "$expected" ] || { printf 'changed; expected: %s\n' "$expected" >&2; exit 1; }
echo "as described"

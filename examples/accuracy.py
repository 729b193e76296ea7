"""Compare scores of the digits with their labels and with the probabilities of tf_keras.

python examples/accuracy.py probabilities.npy
"""

import sys
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parent

scores = np.load(sys.argv[1])
difference = abs(scores - np.load(EXAMPLES / "digits_probabilities.npy")).max()
accuracy = (scores.argmax(axis=1) == np.load(EXAMPLES / "digits_labels.npy")).mean()
print(f"accuracy {accuracy:.2%}, largest difference to Keras {difference:.1e}")
print(f"The scores are in {sys.argv[1]}.")
sys.exit(0 if accuracy >= 0.97 and difference < 1e-5 else 1)

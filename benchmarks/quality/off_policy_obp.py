"""Our off-policy estimates beside those of the Open Bandit Pipeline, on the same simulated logs.

    python -m venv /tmp/obp && /tmp/obp/bin/pip install numpy pandas scikit-learn scipy tqdm pyyaml matplotlib seaborn \
        mypy-extensions torch xxhash && /tmp/obp/bin/pip install --no-deps --ignore-requires-python obp==0.5.7
    PYTHONPATH=. /tmp/obp/bin/python -m benchmarks.quality.off_policy_obp

In a virtual environment of its own, because obp (Saito, Y. et al. (2021), "Open Bandit Dataset and Pipeline") asks for
other versions than we do. Two logs: obp's own synthetic bandit, and three places of our epsilon-greedy exploration.
Fails when an estimate differs by more than `AGREEMENT` of its value.
"""

import json
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import obp
from obp.dataset import SyntheticBanditDataset, logistic_reward_function
from obp.ope import DoublyRobust, InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting

from interest.batch import Doubles, Longs
from ranking.exploration import explored
from ranking.off_policy import LoggedPlaces, off_policy

RESULTS = Path("benchmarks/results/off_policy_obp.json")
AGREEMENT = 1e-6  # relative
SEED = 11
ROUNDS, ACTIONS = 20_000, 10
LISTS, PLACES, HEAD = 5_000, 5, 2
THEIRS = {
    "ips": InverseProbabilityWeighting(),
    "snips": SelfNormalizedInverseProbabilityWeighting(),
    "dr": DoublyRobust(),
}


@dataclass(frozen=True, slots=True)
class Log:
    """n logged actions with the whole target policy and reward model, as obp takes them."""

    reward: Doubles  # [n]
    action: Longs  # [n]
    position: Longs  # [n]
    propensity: Doubles  # [n]
    target: Doubles  # [n, actions, positions]
    predicted: Doubles  # [n, actions, positions]
    cluster: Longs  # [n]
    truth: float


def obp_log() -> Log:
    """obp's synthetic bandit; the target prefers what is better, the reward model is the truth with noise."""
    dataset = SyntheticBanditDataset(
        n_actions=ACTIONS, dim_context=5, reward_function=logistic_reward_function, beta=1.0, random_state=SEED
    )
    logged = dataset.obtain_batch_bandit_feedback(n_rounds=ROUNDS)
    expected = logged["expected_reward"]
    strength = np.exp(5 * (expected - expected.max(axis=1, keepdims=True)))
    target = (strength / strength.sum(axis=1, keepdims=True))[:, :, None]
    noise = np.random.default_rng(SEED).normal(scale=0.1, size=target.shape)
    truth = dataset.calc_ground_truth_policy_value(expected_reward=expected, action_dist=target)
    return Log(
        reward=logged["reward"].astype(np.float64),
        action=logged["action"],
        position=np.zeros(ROUNDS, dtype=np.int64),
        propensity=logged["pscore"],
        target=target,
        predicted=expected[:, :, None] + noise,
        cluster=np.arange(ROUNDS),
        truth=float(truth),
    )


def explored_log() -> Log:
    """Lists of our exploration; the target takes the highest number that is not above, clicks fall with the place."""
    rng = np.random.default_rng(SEED)
    rates = np.linspace(0.1, 0.5, ACTIONS)[:, None] * np.array([1.0, 0.8, 0.6])
    lists = [explored(range(ACTIONS), range(ACTIONS), PLACES, 0.5, HEAD, rng) for _ in range(LISTS)]
    shown = np.stack([items for items, _ in lists])
    wanted = np.array(
        [[max(set(range(ACTIONS)) - set(row[:k])) for k in range(HEAD, PLACES)] for row in shown.tolist()]
    )
    action, choice = shown[:, HEAD:].ravel(), wanted.ravel()
    position = np.tile(np.arange(PLACES - HEAD), LISTS)
    rows = np.arange(len(action))
    target = np.zeros((len(action), ACTIONS, PLACES - HEAD))
    target[rows, choice] = 1.0  # at every place, because obp wants distributions; only the row's own place counts
    return Log(
        reward=(rng.random(len(action)) < rates[action, position]).astype(np.float64),
        action=action,
        position=position,
        propensity=np.stack([chances for _, chances in lists])[:, HEAD:].ravel(),
        target=target,
        predicted=np.tile(rates + rng.normal(scale=0.05, size=rates.shape), (len(action), 1, 1)),
        cluster=rows // (PLACES - HEAD),
        truth=float(rates[choice, position].mean()),
    )


def compared(log: Log) -> dict[str, Any]:
    """Value by value, with our intervals and the true value beside."""
    rows = np.arange(len(log.action))
    ours = off_policy(
        LoggedPlaces(
            reward=log.reward,
            propensity=log.propensity,
            target=log.target[rows, log.action, log.position],
            predicted=log.predicted[rows, log.action, log.position],
            predicted_target=(log.target * log.predicted)[rows, :, log.position].sum(axis=1),
            cluster=log.cluster,
        ),
        np.random.default_rng(SEED),
    )
    logged = {"reward": log.reward, "action": log.action, "pscore": log.propensity, "position": log.position}
    found: dict[str, Any] = {"rows": len(rows), "true_value": log.truth, "effective_sample": ours.effective_sample}
    for name, estimator in THEIRS.items():
        model = {"estimated_rewards_by_reg_model": log.predicted} if name == "dr" else {}
        theirs = float(estimator.estimate_policy_value(action_dist=log.target, **logged, **model))
        mine = getattr(ours, name)
        found[name] = {
            "attune": mine.value,
            "obp": theirs,
            "relative_difference": abs(mine.value - theirs) / abs(theirs),
            "attune_interval": [mine.low, mine.high],
        }
    return found


def main() -> None:
    """Compare on both logs, print and write."""
    results = {"obp_synthetic": compared(obp_log()), "explored_places": compared(explored_log())}
    versions = {"obp": obp.__version__, "numpy": np.__version__, "python": platform.python_version()}
    report = {"date": time.strftime("%Y-%m-%d"), "seed": SEED, "versions": versions, "results": results}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    worst = max(found[name]["relative_difference"] for found in results.values() for name in THEIRS)
    if worst > AGREEMENT:
        sys.exit(f"estimates differ by {worst:.2g} of their value, allowed {AGREEMENT:g}")


if __name__ == "__main__":
    main()

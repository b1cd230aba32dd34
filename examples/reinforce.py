"""REINFORCE on gymnasium's CartPole.

    pip install gymnasium
    rushlight run examples/reinforce.py

NumPy on the simulator's side, tensors on the model's: observations come in by `from_numpy`, actions
go out by `item`. Williams (1992): raise the log-probability of actions by the return after them.
"""
import argparse

import gymnasium
import torch
from torch import nn
from torch.distributions import Categorical


def episode(env, policy, seed):
    """Log-probabilities of the actions taken, a list, and the reward after each."""
    observation, _ = env.reset(seed=seed)
    log_probs, rewards, over = [], [], False
    while not over:
        choice = Categorical(logits=policy(torch.from_numpy(observation)))
        action = choice.sample()
        observation, reward, ended, truncated, _ = env.step(action.item())
        log_probs.append(choice.log_prob(action))
        rewards.append(float(reward))
        over = ended or truncated
    return log_probs, rewards


def returns(rewards, discount):
    """What follows each step, discounted, brought to mean 0 and deviation 1."""
    total, out = 0.0, []
    for reward in reversed(rewards):
        total = reward + discount * total
        out.append(total)
    out = torch.tensor(out[::-1])
    return (out - out.mean()) / (out.std() + 1e-6)


def main():
    parser = argparse.ArgumentParser(description="Balance a pole by REINFORCE.")
    parser.add_argument("--steps", type=int, default=30, help="episodes")
    parser.add_argument("--discount", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    env = gymnasium.make("CartPole-v1")
    policy = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    for step in range(args.steps):
        log_probs, rewards = episode(env, policy, args.seed + step)
        optimizer.zero_grad()
        loss = -(torch.stack(log_probs) * returns(rewards, args.discount)).mean()
        loss.backward()
        optimizer.step()
        if step < 5 or step % 10 == 9:
            print(f"episode {step:4d}  loss {loss.item():.6f}  reward {sum(rewards):.0f}")
    env.close()


if __name__ == "__main__":
    main()

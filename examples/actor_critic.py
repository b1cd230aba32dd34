"""An actor and a critic on gymnasium's CartPole.

    pip install gymnasium
    rushlight run examples/actor_critic.py

Both look through the same layer. The critic's value is the baseline of the actor, and what follows
a step is estimated as in generalised advantage estimation (Schulman et al., 2016).
"""
import argparse

import gymnasium
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical


class ActorCritic(nn.Module):
    """Observations (*, 4) to a distribution over two actions and values (*)."""

    def __init__(self, hidden=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, hidden), nn.Tanh())
        self.actor = nn.Linear(hidden, 2)
        self.critic = nn.Linear(hidden, 1)

    def forward(self, observation):
        seen = self.body(observation)
        return Categorical(logits=self.actor(seen)), self.critic(seen).squeeze(-1)


@torch.no_grad()
def episode(env, model, seed):
    """Observations (T + 1, 4), actions (T,), rewards (T,), and whether the pole fell."""
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards = [torch.from_numpy(observation)], [], []
    ended = truncated = False
    while not (ended or truncated):
        action = model(observations[-1])[0].sample()
        observation, reward, ended, truncated, _ = env.step(action.numpy())
        observations.append(torch.from_numpy(observation))
        actions.append(action)
        rewards.append(float(reward))
    return torch.stack(observations), torch.stack(actions), torch.tensor(rewards), ended


def advantages(rewards, values, discount, decay):
    """How much better each step went than the critic expected; values (T + 1,) to (T,)."""
    surprise = rewards + discount * values[1:] - values[:-1]
    out, total = torch.empty_like(rewards), 0.0
    for t in range(len(rewards) - 1, -1, -1):
        total = surprise[t] + discount * decay * total
        out[t] = total
    return out


def main():
    parser = argparse.ArgumentParser(description="Balance a pole by an actor and a critic.")
    parser.add_argument("--steps", type=int, default=30, help="episodes")
    parser.add_argument("--discount", type=float, default=0.99)
    parser.add_argument("--decay", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    env = gymnasium.make("CartPole-v1")
    model = ActorCritic()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(args.steps):
        observations, actions, rewards, fell = episode(env, model, args.seed + step)
        choice, values = model(observations)
        known = values.detach().clone()
        if fell:
            known[-1] = 0
        advantage = advantages(rewards, known, args.discount, args.decay)
        chosen = Categorical(logits=choice.logits[:-1])
        actor_loss = -(chosen.log_prob(actions) * advantage).mean()
        critic_loss = F.smooth_l1_loss(values[:-1], known[:-1] + advantage)
        loss = actor_loss + 0.5 * critic_loss - 0.01 * chosen.entropy().mean()

        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if step < 5 or step % 10 == 9:
            print(f"episode {step:4d}  loss {loss.item():.6f}  reward {rewards.sum().item():.0f}")
    env.close()


if __name__ == "__main__":
    main()

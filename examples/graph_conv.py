"""A graph convolution that finds the community of each node from a few known ones.

    rushlight run examples/graph_conv.py

The graph is a list of edges. A node's new features are the sum of its neighbours' (Kipf and
Welling, 2017), each divided by the root of both degrees: one gather and one `scatter_add_`.
"""
import argparse

import torch
import torch.nn.functional as F
from torch import nn

COMMUNITIES = 3


def graph(nodes, inside=0.12, between=0.01):
    """Edges (2, E) in both directions, and the community (nodes,) of each node."""
    community = torch.arange(nodes) % COMMUNITIES
    likely = torch.where(community[:, None] == community, inside, between)
    joined = torch.triu(torch.rand(nodes, nodes) < likely, diagonal=1)
    return (joined | joined.T).nonzero().T, community


class GraphConv(nn.Module):
    """Features (nodes, inputs) and edges (2, E) to features (nodes, outputs)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x, edges):
        source, target = edges
        degree = torch.ones(len(x)).scatter_add_(0, target, torch.ones(len(target)))
        x = self.linear(x) / degree.sqrt()[:, None]
        index = target[:, None].expand(-1, x.size(1))
        return x.scatter_add(0, index, x[source]) / degree.sqrt()[:, None]


class GCN(nn.Module):
    def __init__(self, features, hidden=16):
        super().__init__()
        self.first = GraphConv(features, hidden)
        self.second = GraphConv(hidden, COMMUNITIES)

    def forward(self, x, edges):
        x = F.dropout(self.first(x, edges).relu(), 0.5, self.training)
        return self.second(x, edges)


def main():
    parser = argparse.ArgumentParser(description="Find communities in a graph.")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    edges, community = graph(args.nodes)
    features = torch.randn(args.nodes, 16)
    known = torch.randperm(args.nodes)[:args.nodes // 5]
    unknown = torch.ones(args.nodes, dtype=torch.bool)
    unknown[known] = False
    features[known, community[known]] += 3
    model = GCN(features.size(1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-3)
    for step in range(args.steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(features, edges)[known], community[known])
        loss.backward()
        optimizer.step()
        if step < 5 or step % 25 == 24:
            print(f"step {step:4d}  loss {loss.item():.6f}")

    model.eval()
    with torch.no_grad():
        right = model(features, edges).argmax(1) == community
    print(f"{edges.size(1) // 2} edges, accuracy on unknown nodes "
          f"{right[unknown].float().mean().item():.4f}")


if __name__ == "__main__":
    main()

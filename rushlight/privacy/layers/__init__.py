"""Layers under the names of Opacus. Here nn.LSTM, nn.GRU, nn.RNN and nn.MultiheadAttention have rules
of their own, so these are the very same layers."""
from __future__ import annotations

from ... import nn

__all__ = ["DPGRU", "DPLSTM", "DPMultiheadAttention", "DPRNN"]

DPRNN, DPLSTM, DPGRU = nn.RNN, nn.LSTM, nn.GRU
DPMultiheadAttention = nn.MultiheadAttention

"""Swin Transformer: Liu et al., Hierarchical Vision Transformer using Shifted Windows (2021), and its second version (2021)."""
from __future__ import annotations

import math
from functools import partial

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.vision.models.registry import builder
from rushlight.vision.ops.misc import MLP, Permute
from rushlight.vision.ops.stochastic_depth import StochasticDepth

HIDDEN = -100.0         # added to scores of places that are not neighbours in the image
MOST = math.log(100.0)  # of the second version's scales


def merged(x):
    """Each 2 x 2 places of (..., H, W, C) as one of four times the channels."""
    x = F.pad(x, (0, 0, 0, x.shape[-2] % 2, 0, x.shape[-3] % 2))
    return torch.cat([x[..., i::2, j::2, :] for j in (0, 1) for i in (0, 1)], -1)


class PatchMerging(nn.Module):
    """Half the size, twice the channels: normalised, then reduced."""

    def __init__(self, dim: int, norm_layer=nn.LayerNorm):
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(4 * dim)

    def forward(self, x):
        return self.reduction(self.norm(merged(x)))


class PatchMergingV2(nn.Module):
    """Half the size, twice the channels: reduced, then normalised."""

    def __init__(self, dim: int, norm_layer=nn.LayerNorm):
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(2 * dim)

    def forward(self, x):
        return self.norm(self.reduction(merged(x)))


def in_windows(x, window):
    """(B, H, W, C) as (B * windows, places, C)."""
    b, h, w, c = x.shape
    x = x.view(b, h // window[0], window[0], w // window[1], window[1], c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, window[0] * window[1], c)


def from_windows(x, window, h, w):
    c = x.shape[-1]
    x = x.view(-1, h // window[0], w // window[1], window[0], window[1], c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, h, w, c)


def hidden(x, h, w, window, shift):
    """(windows, places, places): what is added to scores where shifting has joined distant places."""
    region, count = x.new_zeros((h, w)), 0
    for rows in ((0, -window[0]), (-window[0], -shift[0]), (-shift[0], None)):
        for columns in ((0, -window[1]), (-window[1], -shift[1]), (-shift[1], None)):
            region[rows[0]:rows[1], columns[0]:columns[1]] = count
            count += 1
    region = in_windows(region[None, :, :, None], window).squeeze(-1)
    return ((region.unsqueeze(1) - region.unsqueeze(2)) != 0) * HIDDEN


class ShiftedWindowAttention(nn.Module):
    """Attention within windows, shifted by `shift_size`, with a learnt bias for each relative place."""

    def __init__(self, dim, window_size, shift_size, num_heads, qkv_bias=True, proj_bias=True, attention_dropout=0.0,
                 dropout=0.0):
        super().__init__()
        if len(window_size) != 2 or len(shift_size) != 2:
            raise ValueError("window_size and shift_size must be of length 2")
        self.window_size, self.shift_size, self.num_heads = window_size, shift_size, num_heads
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        self.define_relative_position_bias_table()
        self.register_buffer("relative_position_index", self.relative_places())

    def define_relative_position_bias_table(self):
        h, w = self.window_size
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * h - 1) * (2 * w - 1), self.num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def relative_places(self):
        """(places * places,): the row of the table for each pair."""
        h, w = self.window_size
        places = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")).flatten(1)
        apart = places[:, :, None] - places[:, None, :]
        return ((apart[0] + h - 1) * (2 * w - 1) + apart[1] + w - 1).flatten()

    def bias_of(self, table):
        n = self.window_size[0] * self.window_size[1]
        return table[self.relative_position_index].view(n, n, -1).permute(2, 0, 1).unsqueeze(0)

    def get_relative_position_bias(self):
        return self.bias_of(self.relative_position_bias_table)

    def scores(self, q, k):
        return (q * q.shape[-1] ** -0.5).matmul(k.transpose(-2, -1))

    def qkv_bias(self):
        return self.qkv.bias

    def forward(self, x):
        """(B, H, W, C) to the same."""
        _, height, width, _ = x.shape
        window = self.window_size
        x = F.pad(x, (0, 0, 0, -width % window[1], 0, -height % window[0]))
        _, h, w, _ = x.shape
        shift = [0 if side >= size else s for side, size, s in zip(window, (h, w), self.shift_size)]
        is_shifted = sum(shift) > 0
        x = torch.roll(x, shifts=(-shift[0], -shift[1]), dims=(1, 2)) if is_shifted else x
        x = self.attend(in_windows(x, window), hidden(x, h, w, window, shift) if is_shifted else None)
        x = from_windows(x, window, h, w)
        x = torch.roll(x, shifts=tuple(shift), dims=(1, 2)) if is_shifted else x
        return x[:, :height, :width, :].contiguous()

    def attend(self, x, mask):
        """(windows, places, C) to the same."""
        count, n, c = x.shape
        qkv = F.linear(x, self.qkv.weight, self.qkv_bias()).reshape(count, n, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = self.scores(q, k) + self.get_relative_position_bias()
        if mask is not None:
            scores = scores.view(-1, len(mask), self.num_heads, n, n) + mask.unsqueeze(1).unsqueeze(0)
            scores = scores.view(-1, self.num_heads, n, n)
        weights = F.dropout(scores.softmax(-1), p=self.attention_dropout, training=self.training)
        x = weights.matmul(v).transpose(1, 2).reshape(count, n, c)
        return F.dropout(F.linear(x, self.proj.weight, self.proj.bias), p=self.dropout, training=self.training)


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """Scores are scaled cosines, biases a function of logarithms of distances."""

    def __init__(self, dim, window_size, shift_size, num_heads, qkv_bias=True, proj_bias=True, attention_dropout=0.0,
                 dropout=0.0):
        super().__init__(dim, window_size, shift_size, num_heads, qkv_bias, proj_bias, attention_dropout, dropout)
        self.logit_scale = nn.Parameter(torch.log(10 * torch.ones(num_heads, 1, 1)))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512, bias=True), nn.ReLU(inplace=True),
                                     nn.Linear(512, num_heads, bias=False))
        if qkv_bias:
            third = self.qkv.bias.numel() // 3
            self.qkv.bias[third:2 * third].data.zero_()

    def define_relative_position_bias_table(self):
        h, w = self.window_size
        steps = [torch.arange(-(n - 1), n, dtype=torch.float32) for n in (h, w)]
        table = torch.stack(torch.meshgrid(steps, indexing="ij")).permute(1, 2, 0).contiguous().unsqueeze(0)
        table[..., 0] /= h - 1
        table[..., 1] /= w - 1
        table *= 8
        self.register_buffer("relative_coords_table", torch.sign(table) * torch.log2(table.abs() + 1.0) / 3.0)

    def get_relative_position_bias(self):
        return 16 * torch.sigmoid(self.bias_of(self.cpb_mlp(self.relative_coords_table).view(-1, self.num_heads)))

    def scores(self, q, k):
        cosines = F.normalize(q, dim=-1).matmul(F.normalize(k, dim=-1).transpose(-2, -1))
        return cosines * torch.clamp(self.logit_scale, max=MOST).exp()

    def qkv_bias(self):
        """Keys have none."""
        if self.qkv.bias is None:
            return None
        third = self.qkv.bias.numel() // 3
        return torch.cat([self.qkv.bias[:third], torch.zeros(third), self.qkv.bias[2 * third:]])


class SwinTransformerBlock(nn.Module):
    """Attention in windows and a perceptron, each normalised before and beside a shortcut."""

    attention = ShiftedWindowAttention

    def __init__(self, dim, num_heads, window_size, shift_size, mlp_ratio=4.0, dropout=0.0, attention_dropout=0.0,
                 stochastic_depth_prob=0.0, norm_layer=nn.LayerNorm, attn_layer=None):
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = (attn_layer or self.attention)(dim, window_size, shift_size, num_heads,
                                                   attention_dropout=attention_dropout, dropout=dropout)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.norm2 = norm_layer(dim)
        self.mlp = MLP(dim, [int(dim * mlp_ratio), dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)

    def forward(self, x):
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class SwinTransformerBlockV2(SwinTransformerBlock):
    """Normalised after attention and perceptron."""

    attention = ShiftedWindowAttentionV2

    def forward(self, x):
        x = x + self.stochastic_depth(self.norm1(self.attn(x)))
        return x + self.stochastic_depth(self.norm2(self.mlp(x)))


class SwinTransformer(nn.Module):
    """Patches, stages of blocks with merging between them, and a linear layer.

    Args:
        depths: blocks of each stage, every second one shifted. window_size: of attention, (rows, columns).
    """

    def __init__(self, patch_size, embed_dim, depths, num_heads, window_size, mlp_ratio=4.0, dropout=0.0,
                 attention_dropout=0.0, stochastic_depth_prob=0.1, num_classes=1000, norm_layer=None, block=None,
                 downsample_layer=PatchMerging):
        super().__init__()
        self.num_classes = num_classes
        block, norm_layer = block or SwinTransformerBlock, norm_layer or partial(nn.LayerNorm, eps=1e-5)
        layers = [nn.Sequential(nn.Conv2d(3, embed_dim, tuple(patch_size), tuple(patch_size)), Permute([0, 2, 3, 1]),
                                norm_layer(embed_dim))]
        total, done, dim = sum(depths), 0, embed_dim
        for stage, (depth, heads) in enumerate(zip(depths, num_heads)):
            if stage:
                layers.append(downsample_layer(dim // 2, norm_layer))
            layers.append(nn.Sequential(*(
                block(dim, heads, window_size=window_size, shift_size=[0 if k % 2 == 0 else n // 2 for n in window_size],
                      mlp_ratio=mlp_ratio, dropout=dropout, attention_dropout=attention_dropout, norm_layer=norm_layer,
                      stochastic_depth_prob=stochastic_depth_prob * float(done + k) / (total - 1)) for k in range(depth))))
            done, dim = done + depth, dim * 2
        self.features = nn.Sequential(*layers)
        self.norm = norm_layer(dim // 2)
        self.permute = Permute([0, 3, 1, 2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.head = nn.Linear(dim // 2, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x):
        x = self.permute(self.norm(self.features(x)))
        return self.head(self.flatten(self.avgpool(x)))


def make_builder(name: str, width: int, depths, heads, depth_prob: float, window: int, **kinds):
    @builder(name=name,
             doc=f"A Swin transformer, {width} wide in the first stage, {depths} blocks in its stages.")
    def build(**kwargs) -> SwinTransformer:
        options = {"stochastic_depth_prob": depth_prob, **kinds, **kwargs}
        return SwinTransformer(patch_size=[4, 4], embed_dim=width, depths=depths, num_heads=heads,
                               window_size=[window, window], **options)
    return build


V2 = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2}
swin_t = make_builder("swin_t", 96, [2, 2, 6, 2], [3, 6, 12, 24], 0.2, 7)
swin_s = make_builder("swin_s", 96, [2, 2, 18, 2], [3, 6, 12, 24], 0.3, 7)
swin_b = make_builder("swin_b", 128, [2, 2, 18, 2], [4, 8, 16, 32], 0.5, 7)
swin_v2_t = make_builder("swin_v2_t", 96, [2, 2, 6, 2], [3, 6, 12, 24], 0.2, 8, **V2)
swin_v2_s = make_builder("swin_v2_s", 96, [2, 2, 18, 2], [3, 6, 12, 24], 0.3, 8, **V2)
swin_v2_b = make_builder("swin_v2_b", 128, [2, 2, 18, 2], [4, 8, 16, 32], 0.5, 8, **V2)

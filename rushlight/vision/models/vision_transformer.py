"""Vision Transformer: Dosovitskiy et al., An Image is Worth 16x16 Words (2020)."""
from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial

import rushlight as torch
from rushlight import nn
from rushlight.vision.models.registry import builder, fill
from rushlight.vision.ops.misc import MLP

NORM = partial(nn.LayerNorm, eps=1e-6)


class MLPBlock(MLP):
    """Two linear layers with GELU between them."""

    def __init__(self, in_dim, mlp_dim, dropout):
        super().__init__(in_dim, [mlp_dim, in_dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)


class EncoderBlock(nn.Module):
    """Self-attention and an MLP, each after a normalisation and beside a shortcut."""

    def __init__(self, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer=NORM):
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(hidden_dim, num_heads, dropout=attention_dropout,
                                                    batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input):
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Learned places added to (N, length, hidden_dim), then encoder blocks."""

    def __init__(self, seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout,
                 norm_layer=NORM):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(OrderedDict(
            (f"encoder_layer_{k}", EncoderBlock(num_heads, hidden_dim, mlp_dim, dropout, attention_dropout,
                                                norm_layer)) for k in range(num_layers)))
        self.ln = norm_layer(hidden_dim)

    def forward(self, input):
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """Patches of an image and a class token through a Transformer's encoder.

    Images are (N, 3, image_size, image_size); the size is a multiple of the patches'.
    """

    def __init__(self, image_size, patch_size, num_layers, num_heads, hidden_dim, mlp_dim, dropout=0.0,
                 attention_dropout=0.0, num_classes=1000, representation_size=None, norm_layer=NORM):
        super().__init__()
        if image_size % patch_size:
            raise AssertionError("Input shape indivisible by patch size!")
        self.image_size, self.patch_size, self.hidden_dim = image_size, patch_size, hidden_dim
        self.mlp_dim, self.attention_dropout, self.dropout = mlp_dim, attention_dropout, dropout
        self.num_classes, self.representation_size = num_classes, representation_size
        self.norm_layer = norm_layer
        self.conv_proj = nn.Conv2d(3, hidden_dim, patch_size, patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout,
                               attention_dropout, norm_layer)
        self.heads = nn.Sequential(self.make_heads())
        self.initialise()

    def make_heads(self) -> OrderedDict:
        if self.representation_size is None:
            return OrderedDict(head=nn.Linear(self.hidden_dim, self.num_classes))
        return OrderedDict(pre_logits=nn.Linear(self.hidden_dim, self.representation_size), act=nn.Tanh(),
                           head=nn.Linear(self.representation_size, self.num_classes))

    def initialise(self):
        fan_in = self.conv_proj.in_channels * self.patch_size ** 2
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / fan_in))
        nn.init.zeros_(self.conv_proj.bias)
        if self.representation_size is not None:
            nn.init.trunc_normal_(self.heads.pre_logits.weight, std=math.sqrt(1 / self.hidden_dim))
            nn.init.zeros_(self.heads.pre_logits.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def patches(self, x):
        """(N, patches, hidden_dim) of images."""
        return self.conv_proj(of_size(x, self.image_size)).flatten(2).permute(0, 2, 1)

    def forward(self, x):
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), self.patches(x)], 1)
        return self.heads(self.encoder(x)[:, 0])


def of_size(x, image_size):
    """The images; AssertionError if they have another height or width."""
    for name, size in zip(("height", "width"), x.shape[2:]):
        if size != image_size:
            raise AssertionError(f"Wrong image {name}! Expected {image_size} but got {size}!")
    return x


def filled(function, options, state, chosen) -> VisionTransformer:
    """Positions were learnt for images of one size."""
    side = chosen.transforms.keywords["crop_size"]
    if options.setdefault("image_size", side) != side:
        raise ValueError(f"The parameter 'image_size' expected value {side} but got {options['image_size']} instead.")
    return fill(function, options, state, chosen)


def make_builder(name: str, patch_size, num_layers, num_heads, hidden_dim, mlp_dim):
    @builder(name=name, filled=filled,
             doc=f"A vision transformer of {num_layers} layers, {hidden_dim} wide, patches of {patch_size}.")
    def build(**kwargs) -> VisionTransformer:
        return VisionTransformer(kwargs.pop("image_size", 224), patch_size, num_layers, num_heads, hidden_dim,
                                 mlp_dim, **kwargs)
    return build


vit_b_16 = make_builder("vit_b_16", 16, 12, 12, 768, 3072)
vit_b_32 = make_builder("vit_b_32", 32, 12, 12, 768, 3072)
vit_l_16 = make_builder("vit_l_16", 16, 24, 16, 1024, 4096)
vit_l_32 = make_builder("vit_l_32", 32, 24, 16, 1024, 4096)
vit_h_14 = make_builder("vit_h_14", 14, 32, 16, 1280, 5120)

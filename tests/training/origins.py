"""Small models as other houses write them: the source computations for conversion."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def rotate(x: torch.Tensor, *, interleaved: bool = False, base: float = 10000.0) -> torch.Tensor:
    """Rotary positions of `[batch, heads, time, size]`, in halves or in neighboring pairs."""
    size = x.shape[-1]
    angles = torch.outer(
        torch.arange(x.shape[-2]).float(), base ** (-torch.arange(0, size, 2).float() / size)
    )
    cos, sin = angles.cos(), angles.sin()
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class RMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width) * 0.1 + 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class LitAttention(nn.Module):
    """litgpt's: one matrix for q, k and v, by groups (its older layout) or one after the other."""

    def __init__(self, width: int, heads: int, groups: int, fused: str):
        super().__init__()
        self.heads, self.groups, self.size, self.fused = heads, groups, width // heads, fused
        setattr(self, fused, nn.Linear(width, (heads + 2 * groups) * self.size, bias=False))
        self.proj = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        qkv = getattr(self, self.fused)(x)
        per = self.heads // self.groups
        if self.fused == "attn":
            qkv = qkv.view(batch, time, self.groups, per + 2, self.size)
            q, k, v = qkv.split((per, 1, 1), 3)
        else:
            q, k, v = qkv.view(batch, time, -1, self.size).split(
                (self.heads, self.groups, self.groups), 2
            )
        q = q.reshape(batch, time, self.heads, self.size).transpose(1, 2)
        k = k.reshape(batch, time, self.groups, self.size).transpose(1, 2)
        v = v.reshape(batch, time, self.groups, self.size).transpose(1, 2)
        k, v = (t.repeat_interleave(per, 1) for t in (k, v))
        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(batch, time, width))


class LitMLP(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.fc_1 = nn.Linear(width, inner, bias=False)
        self.fc_2 = nn.Linear(width, inner, bias=False)
        self.proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(F.silu(self.fc_1(x)) * self.fc_2(x))


class LitBlock(nn.Module):
    def __init__(self, width: int, inner: int, heads: int, groups: int, fused: str):
        super().__init__()
        self.norm_1, self.norm_2 = RMSNorm(width), RMSNorm(width)
        self.attn = LitAttention(width, heads, groups, fused)
        self.mlp = LitMLP(width, inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


class LitGPT(nn.Module):
    def __init__(self, rows: int, fused: str, *, groups: int = 2):
        super().__init__()
        self.lm_head = nn.Linear(64, rows, bias=False)
        blocks = nn.ModuleList(LitBlock(64, 96, 4, groups, fused) for _ in range(2))
        parts = {"wte": nn.Embedding(rows, 64), "h": blocks, "ln_f": RMSNorm(64)}
        self.transformer = nn.ModuleDict(parts)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.transformer["wte"](ids)
        for block in self.transformer["h"]:  # type: ignore[union-attr]
            x = block(x)
        return self.lm_head(self.transformer["ln_f"](x))


class MetaAttention(nn.Module):
    """Meta's: separate matrices, rotary positions of neighboring pairs."""

    def __init__(self, width: int, heads: int, groups: int):
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.wq = nn.Linear(width, width, bias=False)
        self.wk = nn.Linear(width, groups * self.size, bias=False)
        self.wv = nn.Linear(width, groups * self.size, bias=False)
        self.wo = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        q = self.wq(x).view(batch, time, self.heads, -1).transpose(1, 2)
        k = self.wk(x).view(batch, time, self.groups, -1).transpose(1, 2)
        v = self.wv(x).view(batch, time, self.groups, -1).transpose(1, 2)
        q, k = rotate(q, interleaved=True), rotate(k, interleaved=True)
        k, v = (t.repeat_interleave(self.heads // self.groups, 1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.wo(y.transpose(1, 2).reshape(batch, time, width))


class MetaMLP(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.w1 = nn.Linear(width, inner, bias=False)
        self.w2 = nn.Linear(inner, width, bias=False)
        self.w3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class MetaBlock(nn.Module):
    def __init__(self, width: int, inner: int, heads: int, groups: int):
        super().__init__()
        self.attention, self.feed_forward = (
            MetaAttention(width, heads, groups),
            MetaMLP(width, inner),
        )
        self.attention_norm, self.ffn_norm = RMSNorm(width), RMSNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_forward(self.ffn_norm(x))


class MetaLlama(nn.Module):
    def __init__(self, rows: int):
        super().__init__()
        self.tok_embeddings = nn.Embedding(rows, 64)
        self.layers = nn.ModuleList(MetaBlock(64, 96, 4, 2) for _ in range(2))
        self.norm, self.output = RMSNorm(64), nn.Linear(64, rows, bias=False)
        self.register_buffer("freqs_cis", torch.zeros(4))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tok_embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return self.output(self.norm(x))


class NanoNorm(nn.Module):
    def __init__(self, width: int, *, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width) * 0.1 + 1)
        self.bias = nn.Parameter(torch.randn(width) * 0.1) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class NanoAttention(nn.Module):
    def __init__(self, width: int, heads: int, block_size: int, *, bias: bool):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)
        mask = torch.tril(torch.ones(block_size, block_size))
        self.register_buffer("bias", mask.view(1, 1, block_size, block_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        parts = self.c_attn(x).split(width, dim=2)
        q, k, v = (t.view(batch, time, self.heads, -1).transpose(1, 2) for t in parts)
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        scores = scores.masked_fill(self.bias[:, :, :time, :time] == 0, -math.inf)
        y = scores.softmax(-1) @ v
        return self.c_proj(y.transpose(1, 2).reshape(batch, time, width))


class NanoMLP(nn.Module):
    def __init__(self, width: int, *, bias: bool):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.c_proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c_proj(F.gelu(self.c_fc(x)))


class NanoBlock(nn.Module):
    def __init__(self, width: int, heads: int, block_size: int, *, bias: bool):
        super().__init__()
        self.ln_1, self.ln_2 = NanoNorm(width, bias=bias), NanoNorm(width, bias=bias)
        self.attn = NanoAttention(width, heads, block_size, bias=bias)
        self.mlp = NanoMLP(width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class NanoGPT(nn.Module):
    """nanoGPT's: GPT-2 with linear layers, tied tables, and biases that may be left out."""

    def __init__(self, rows: int, *, bias: bool):
        super().__init__()
        self.shape = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 48}
        self.shape |= {"vocab_size": rows, "bias": bias, "dropout": 0.0}  # type: ignore[dict-item]
        blocks = nn.ModuleList(NanoBlock(32, 2, 48, bias=bias) for _ in range(2))
        parts = {"wte": nn.Embedding(rows, 32), "wpe": nn.Embedding(48, 32), "h": blocks}
        self.transformer = nn.ModuleDict({**parts, "ln_f": NanoNorm(32, bias=bias)})
        self.lm_head = nn.Linear(32, rows, bias=False)
        self.transformer["wte"].weight = self.lm_head.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        places = self.transformer["wpe"](torch.arange(ids.shape[1]))
        x = self.transformer["wte"](ids) + places
        for block in self.transformer["h"]:  # type: ignore[union-attr]
            x = block(x)
        return self.lm_head(self.transformer["ln_f"](x))

"""The demo model in plain torch: the Qwen3 architecture, and a start in life as a machine that copies.

Weights are kept as stacks ([3, hidden, hidden] for query, key and value) and saved under Hugging Face names.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model; `hidden` = heads x head_dim, every head has its own keys and values."""

    vocabulary: int = 8192
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    head_dim: int = 64
    feed_forward: int = 640
    max_positions: int = 1024
    rope_theta: float = 1e6
    epsilon: float = 1e-6


class Block(nn.Module):  # type: ignore[misc]  # torch is not followed
    """One layer: attention with normalised queries and keys, then SwiGLU, both added to the residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        hidden, wide = shape.hidden, shape.feed_forward
        self.qkv = nn.Parameter(torch.randn(3, hidden, hidden) / math.sqrt(hidden))
        self.out = nn.Parameter(torch.zeros(1, hidden, hidden))
        self.gate_up = nn.Parameter(torch.randn(2, wide, hidden) / math.sqrt(hidden))
        self.down = nn.Parameter(torch.zeros(1, hidden, wide))
        self.input_norm = nn.Parameter(torch.ones(hidden))
        self.post_norm = nn.Parameter(torch.ones(hidden))
        self.query_norm = nn.Parameter(torch.ones(shape.head_dim))
        self.key_norm = nn.Parameter(torch.ones(shape.head_dim))

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """`x` float32 [batch, length, hidden]; `cosine`, `sine` [length, head_dim]."""
        batch, length, hidden = x.shape
        epsilon = self.shape.epsilon
        inner = functional.rms_norm(x, (hidden,), self.input_norm, epsilon)
        q, k, v = (
            functional.linear(inner, self.qkv.flatten(0, 1))
            .view(batch, length, 3, self.shape.heads, self.shape.head_dim)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )
        q = _rotate(functional.rms_norm(q.float(), (self.shape.head_dim,), self.query_norm, epsilon), cosine, sine)
        k = _rotate(functional.rms_norm(k.float(), (self.shape.head_dim,), self.key_norm, epsilon), cosine, sine)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + functional.linear(mixed.transpose(1, 2).reshape(batch, length, hidden), self.out[0])
        inner = functional.rms_norm(x, (hidden,), self.post_norm, epsilon)
        gate, up = functional.linear(inner, self.gate_up.flatten(0, 1)).chunk(2, dim=-1)
        return x + functional.linear(functional.silu(gate) * up, self.down[0])


class DemoModel(nn.Module):  # type: ignore[misc]  # torch is not followed
    """A decoder with tied embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.hidden) * 0.02)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.full((shape.hidden,), 1.5))
        cosine, sine = _rotations(shape)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens int64 [batch, length], padded on the right -> final states float32 [batch, length, hidden]."""
        length = tokens.shape[1]
        x = functional.embedding(tokens, self.embedding)
        for block in self.blocks:
            x = block(x, self.cosine[:length], self.sine[:length])
        return functional.rms_norm(x, (self.shape.hidden,), self.norm, self.shape.epsilon)

    def logits(self, states: Tensor) -> Tensor:
        """States [n, hidden] -> scores of every token [n, vocabulary]."""
        return functional.linear(states, self.embedding)


def start_as_copier(model: DemoModel, seed: int) -> None:
    """Write heads that find the previous tokens into layer 0 and induction heads into layer 1, in place.

    Source: Olsson et al. 2022, "In-context Learning and Induction Heads". The residual stream is cut in three: the
    token itself [0, 127) with a constant at 127, its predecessor [128, 191), the one before that [192, 255).
    """
    shape = model.shape
    if shape.hidden != 256 or shape.head_dim != 64:
        raise ValueError(
            f"hidden={shape.hidden}, head_dim={shape.head_dim}: the structured start is laid out for 256 and 64"
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.embedding[:, :127] = torch.randn(shape.vocabulary, 127, generator=generator) / math.sqrt(127)
        model.embedding[:, 127] = 0.3
        model.embedding[:, 128:] *= 0.1
        projection = _orthonormal(64, 127, generator)[:63]  # what a token leaves behind for its followers
        _write_previous_heads(model.blocks[0], projection, shape)
        _write_induction_heads(model.blocks[1], projection, generator)


def to_hugging_face(model: DemoModel) -> dict[str, Tensor]:
    """The weights in bfloat16 under the names of Qwen3ForCausalLM."""
    named = _hugging_face_names(model)
    return {name: value.detach().to(torch.bfloat16).contiguous().clone() for name, value in named.items()}


def from_hugging_face(model: DemoModel, tensors: Mapping[str, Tensor]) -> None:
    """Take weights under those names, in place. Raises `KeyError` for one that is missing."""
    with torch.no_grad():
        for name, value in _hugging_face_names(model).items():
            value.copy_(tensors[name])


def _hugging_face_names(model: DemoModel) -> dict[str, Tensor]:
    """Views of the weights."""
    tensors: dict[str, Tensor] = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.norm}
    for number, block in enumerate(model.blocks):
        prefix = f"model.layers.{number}"
        names = {
            "self_attn.q_proj": block.qkv[0],
            "self_attn.k_proj": block.qkv[1],
            "self_attn.v_proj": block.qkv[2],
            "self_attn.o_proj": block.out[0],
            "self_attn.q_norm": block.query_norm,
            "self_attn.k_norm": block.key_norm,
            "mlp.gate_proj": block.gate_up[0],
            "mlp.up_proj": block.gate_up[1],
            "mlp.down_proj": block.down[0],
            "input_layernorm": block.input_norm,
            "post_attention_layernorm": block.post_norm,
        }
        tensors |= {f"{prefix}.{name}.weight": value for name, value in names.items()}
    return tensors


def hugging_face_config(shape: Shape, end_token: int, pad_token: int) -> dict[str, object]:
    """config.json of a Qwen3ForCausalLM with these sizes."""
    sizes = asdict(shape)
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": sizes["vocabulary"],
        "hidden_size": sizes["hidden"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["heads"],
        "head_dim": sizes["head_dim"],
        "intermediate_size": sizes["feed_forward"],
        "max_position_embeddings": sizes["max_positions"],
        "rope_theta": sizes["rope_theta"],
        "rope_parameters": {"rope_type": "default", "rope_theta": sizes["rope_theta"]},
        "rms_norm_eps": sizes["epsilon"],
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": True,
        "eos_token_id": end_token,
        "pad_token_id": pad_token,
        "bos_token_id": None,
        "torch_dtype": "bfloat16",
    }


def _rotations(shape: Shape) -> tuple[Tensor, Tensor]:
    half = shape.head_dim // 2
    frequencies = shape.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.outer(torch.arange(shape.max_positions, dtype=torch.float64), frequencies).repeat(1, 2)
    return angles.cos().float(), angles.sin().float()


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """[rows, columns] with orthonormal rows (rows <= columns)."""
    q, _ = torch.linalg.qr(torch.randn(columns, rows, generator=generator))
    return q.T.contiguous()


def _write_previous_heads(block: Block, projection: Tensor, shape: Shape) -> None:
    """Heads 0 and 1 look 1 and 2 tokens back: score = sum of cos(f * (distance - offset)) over fast rotations f."""
    half, fast = shape.head_dim // 2, torch.arange(6)
    frequencies = shape.rope_theta ** (-fast / half)
    block.qkv *= 0.2
    for head, offset, target in ((0, 1, 128), (1, 2, 192)):
        rows = slice(head * 64, head * 64 + 63)
        first = head * 64
        block.qkv[0, first + fast, 127] = torch.cos(offset * frequencies)
        block.qkv[0, first + half + fast, 127] = -torch.sin(offset * frequencies)
        block.qkv[1, first + fast, 127] = 1.0
        block.qkv[2, rows] = 0.0
        block.qkv[2, rows, :127] = projection
        block.out[0, target : target + 63, rows] = torch.eye(63) / 16.0 * 1.5
    for norm in (block.query_norm, block.key_norm):
        norm[fast] = norm[half + fast] = 3.5


def _write_induction_heads(block: Block, projection: Tensor, generator: torch.Generator) -> None:
    """Heads 0 and 1 look for a place whose two predecessors are the last two tokens, and copy the token there."""
    slow = torch.cat((torch.arange(14, 32), torch.arange(46, 64)))  # dimensions that hardly rotate within a prompt
    block.qkv *= 0.2
    for head, source in ((0, slice(0, 64)), (1, slice(64, 127))):
        mixer = _orthonormal(22, 63, generator), _orthonormal(14, 63, generator) * 0.7
        near, far = head * 64 + slow[:22], head * 64 + slow[22:]
        block.qkv[0:2, head * 64 : head * 64 + 64] = 0.0
        block.qkv[0, near, :127] = mixer[0] @ projection
        block.qkv[0, far, 128:191] = mixer[1]
        block.qkv[1, near, 128:191] = mixer[0]
        block.qkv[1, far, 192:255] = mixer[1]
        width = source.stop - source.start
        block.qkv[2, head * 64 : head * 64 + 64] = 0.0
        block.qkv[2, head * 64 : head * 64 + width, source] = torch.eye(width)
        block.out[0, source, head * 64 : head * 64 + width] = torch.eye(width) * (4.0 * 1.7 / 16.0)
    for norm in (block.query_norm, block.key_norm):
        norm[slow] = 2.2

"""Attention of whole windows: the numbers of transformers, and no mask where none is needed."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dilmac.training import attention
from dilmac.training.attention import causal_attention
from dilmac.training.pack import document_mask


def model_of(num_kv_heads: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=300,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=num_kv_heads,
        )
    ).eval()


@pytest.mark.parametrize("num_kv_heads", [2, 1])
def test_hidden_states_equal_those_of_transformers(num_kv_heads: int) -> None:
    model = model_of(num_kv_heads)
    ids = torch.randint(0, 300, (3, 40))
    documents = torch.cat([torch.zeros(3, 15), torch.ones(3, 25)], 1).int()
    for mask in (None, document_mask(documents)):
        settings: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        theirs = model.model(**settings).last_hidden_state
        with causal_attention(model.config):
            ours = model.model(**settings).last_hidden_state
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert not torch.allclose(ours, model.model(input_ids=ids).last_hidden_state, atol=1e-2)


def test_compiled_it_attends_without_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, Any]] = []

    def look(graph: torch.fx.GraphModule, _: Any) -> Any:
        calls = [n for n in graph.graph.nodes if "scaled_dot_product" in str(n.target)]
        seen.extend((n.kwargs.get("attn_mask"), n.kwargs.get("is_causal")) for n in calls)
        return graph

    monkeypatch.setattr(attention, "MAX_BLOCK_CONTEXT", 15)
    model = model_of(2)
    embedded = torch.randn(2, 16, 64)
    torch._dynamo.reset()
    with causal_attention(model.config):
        torch.compile(model.model, backend=look)(inputs_embeds=embedded, use_cache=False)
    assert seen == [(None, True)] * 2


@pytest.mark.parametrize("num_kv_heads", [2, 1])
def test_compiled_for_a_cpu_it_attends_in_blocks(num_kv_heads: int) -> None:
    seen: list[str] = []

    def look(graph: torch.fx.GraphModule, _: Any) -> Any:
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    model = model_of(num_kv_heads)
    embedded = torch.randn(2, 150, 64)
    torch._dynamo.reset()
    with causal_attention(model.config):
        plain = model.model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        compiled = torch.compile(model.model, backend=look)
        ours = compiled(inputs_embeds=embedded, use_cache=False).last_hidden_state
    assert seen and not any("scaled_dot_product" in name for name in seen)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("context", [1, 63, 64, 129, 300])
def test_blocks_give_the_numbers_and_gradients_of_sdpa(context: int) -> None:
    generator = torch.Generator().manual_seed(context)
    parts = [torch.randn(2, heads, context, 16, generator=generator) for heads in (4, 2, 2)]
    mine = [part.clone().requires_grad_() for part in parts]
    theirs = [part.clone().requires_grad_() for part in parts]
    ours = attention._in_blocks(mine[0], mine[1], mine[2], 0.25)
    sdpa = torch.nn.functional.scaled_dot_product_attention(
        theirs[0], theirs[1], theirs[2], is_causal=True, scale=0.25, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(ours, sdpa, rtol=0, atol=1e-5)
    weights = torch.randn(ours.shape, generator=generator)
    (ours * weights).sum().backward()
    (sdpa * weights).sum().backward()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-4)


def test_generation_attends_as_before() -> None:
    model = model_of(2)
    ids = torch.randint(0, 300, (1, 9))
    before = model.generate(ids, max_new_tokens=8, do_sample=False)
    with causal_attention(model.config):
        model.model(input_ids=ids, use_cache=False)
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(model.generate(ids, max_new_tokens=8, do_sample=False), before)
    with pytest.raises(ZeroDivisionError), causal_attention(model.config):
        raise ZeroDivisionError
    assert model.config._attn_implementation == "sdpa"

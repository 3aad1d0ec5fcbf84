"""A conversation by OpenAI's own client with a model that ONNX Runtime runs."""

from pathlib import Path

import pytest
from serving import served


@pytest.mark.slow
def test_a_conversation_over_onnx(tmp_path: Path, blank_model: Path) -> None:
    pytest.importorskip("onnxruntime_genai", reason="needs the extra `onnx`")
    from dilmac.export import OnnxConfig, export_onnx

    few = {"num_lines": 20, "num_fuzz": 40, "num_positions": 60}
    config = OnnxConfig.model_validate({"model": blank_model, "out": tmp_path / "onnx", **few})
    with served(export_onnx(config).path, tmp_path / "serve.log") as server:
        asked = {
            "model": server.name,
            "messages": [{"role": "user", "content": "Merhaba!"}],
            "temperature": 0,
            "max_tokens": 12,
        }
        whole = server.client.chat.completions.create(**asked).choices[0]
        chunks = server.client.chat.completions.create(**asked, stream=True)
        content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert content == whole.message.content
        assert whole.finish_reason in ("stop", "length")
    assert "onnx · context 128" in (tmp_path / "serve.log").read_text(encoding="utf-8")

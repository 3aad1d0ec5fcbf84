"""Types that a quantizer could not use, and files that are not what they say.

K-quants need rows divisible by 256; of Qwen2.5-0.5B (896 wide) 144 of 290 tensors fell back, and
`Q4_K_M` was 6.39 bits per weight instead of 5.28.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import gguf

from dilmac.export.doctor.finding import GGML, Finding, some
from dilmac.export.doctor.folder import ModelFolder
from dilmac.export.doctor.gguf_file import GgufFile
from dilmac.export.doctor.registry import doctor_rule

BLOCK = 256  # weights of a K-quant's block, which must lie in one row
Kind = gguf.GGMLQuantizationType
FALLBACKS = {Kind.Q4_0, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.IQ4_NL, Kind.F16}
TABLES = ("token_embd.weight", "output.weight")  # quantizers give them types of their own
FILE_TYPE = "general.file_type"
# File types by the type that most of their weights have; all others are not judged.
PLAIN = {
    Kind.F32: gguf.LlamaFileType.ALL_F32,
    Kind.F16: gguf.LlamaFileType.MOSTLY_F16,
    Kind.BF16: gguf.LlamaFileType.MOSTLY_BF16,
    Kind.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
}


@doctor_rule("quantization", of="folder")
def rows_of_folder(folder: ModelFolder) -> Iterator[Finding]:
    """Rows of matrices that K-quants cannot cut."""
    matrices = [t for t in folder.tensors.values() if len(t.shape) == 2 and "lora_" not in t.name]
    if not folder.config:
        return
    if packed := folder.config.get("quantization_config"):
        yield Finding(
            "note",
            "config.json",
            f"matrices are quantized already ({packed.get('quant_method', 'no method is named')})",
            GGML,
            "give those runtimes a file made from the folder before that",
        )
        return
    odd = [tensor for tensor in matrices if tensor.shape[1] % BLOCK]
    if odd:
        lengths = sorted({str(tensor.shape[1]) for tensor in odd}, key=int)
        yield Finding(
            "note",
            "safetensors",
            f"{len(odd)} of {len(matrices)} matrices have rows of {some(lengths)}, which {BLOCK} "
            "does not divide: as Q4_K, Q5_K or Q6_K they become larger types",
            GGML,
            "quantize to Q8_0, or expect a larger file",
        )


@doctor_rule("quantization", of="gguf")
def types_of_gguf(file: GgufFile) -> Iterator[Finding]:
    """Types that fell back, and a file type that most tensors do not have."""
    tensors = list(file.tensors.values())
    matrices = [t for t in tensors if len(t.shape) > 1]
    stated = file.values.get(FILE_TYPE)
    if not matrices or stated is None:
        return
    bits = 8 * sum(t.n_bytes for t in tensors) / sum(t.n_elements for t in tensors)
    name = _name_of(stated)
    fallen = [t for t in matrices if t.tensor_type in FALLBACKS and int(t.shape[0]) % BLOCK]
    if "_K" in name and fallen:
        yield Finding(
            "warning",
            FILE_TYPE,
            f"says {name}, but {len(fallen)} of {len(matrices)} matrices fell back to "
            f"{some(sorted({t.tensor_type.name for t in fallen}))} (rows of "
            f"{some(sorted({str(int(t.shape[0])) for t in fallen}, key=int))}): "
            f"{bits:.2f} bits per weight",
            GGML,
            "choose Q8_0, or a model whose rows 256 divides",
        )
        return
    weights: Counter[gguf.GGMLQuantizationType] = Counter()
    for tensor in matrices:
        if tensor.name not in TABLES or len(matrices) == len(TABLES):
            weights[tensor.tensor_type] += tensor.n_elements
    most = weights.most_common(1)[0][0] if weights else None
    right = PLAIN.get(most) if most is not None else None
    is_plain = right is not None or stated in PLAIN.values()
    if most is None or not is_plain or right == stated:
        return
    yield Finding(
        "warning",
        FILE_TYPE,
        f"says {name}, most weights are {most.name}: {bits:.2f} bits per weight",
        GGML,
        f"say {right.name}" if right is not None else "export it again",
        (lambda copy: copy.set(FILE_TYPE, int(right))) if right is not None else None,
    )


def _name_of(file_type: int) -> str:
    try:
        return str(gguf.LlamaFileType(file_type).name)
    except ValueError:
        return str(file_type)

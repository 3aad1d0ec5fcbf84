"""Modelfiles: what is written reads back as it was meant; what is not of the grammar is refused."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dilmac.core import InputError
from dilmac.export.chat_template import go_template
from dilmac.export.modelfile import Instruction, read_modelfile, write_modelfile

FROM = Instruction("FROM", "./model-f16.gguf")
ODD = ["\n", '"', '""', "#", " ", "\t", "\nSYSTEM x\n", '\nFROM "y"\n', '""\n', "{{", "`"]
texts = st.lists(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(ODD), min_size=1, max_size=12
).map("".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(system=texts, license_text=texts)
def test_any_text_reads_back_or_is_refused(system: str, license_text: str) -> None:
    wanted = [FROM, Instruction("SYSTEM", system), Instruction("LICENSE", license_text)]
    if '"""' in system + "|" + license_text:
        with pytest.raises(InputError, match="would end its quotation"):
            write_modelfile(wanted)
        return
    assert read_modelfile(write_modelfile(wanted)) == wanted


@pytest.mark.parametrize(
    "system",
    ['"""\nADAPTER ./evil\n"""', 'Sen """Ada"""sın.', 'bitir"""'],
    ids=["instruction", "within", "end"],
)
def test_a_text_that_breaks_out_of_its_quotation_is_refused(system: str) -> None:
    with pytest.raises(InputError, match="would end its quotation"):
        write_modelfile([FROM, Instruction("SYSTEM", system)])


@pytest.mark.parametrize("character", ["\0", "\r", "\x1b", "\x85"])
def test_control_characters_are_refused(character: str) -> None:
    with pytest.raises(InputError, match=f"U\\+{ord(character):04X}"):
        write_modelfile([FROM, Instruction("SYSTEM", f"a{character}b")])


def test_quotation_marks_at_the_ends_stay() -> None:
    for system in ('"Ada" de.', 'Adın "Ada"', '"', '""', 'a\n"b"', ' "'):
        wanted = [FROM, Instruction("SYSTEM", system)]
        assert read_modelfile(write_modelfile(wanted)) == wanted


def test_what_the_reference_shows_is_read() -> None:
    """The example of Ollama's Modelfile reference, with a comment and every way of quoting."""
    text = (
        "FROM llama3.2\n"
        "# sets the temperature to 1 [higher is more creative, lower is more coherent]\n"
        "PARAMETER temperature 1\n"
        "parameter num_ctx 4096\n\n"
        'PARAMETER stop "AI assistant:"\n'
        'TEMPLATE """{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"""\n'
        "SYSTEM You are Mario from super mario bros, acting as an assistant.\n"
        "MESSAGE user Is Toronto in Canada?\nMESSAGE assistant yes\n"
        'LICENSE """\nApache\n"""\n'
    )
    found = read_modelfile(text)
    assert [name for name, _ in found[:4]] == ["FROM", "PARAMETER", "PARAMETER", "PARAMETER"]
    assert found[4].value.endswith("<|im_end|>\n{{ end }}")
    assert found[-1] == Instruction("LICENSE", "\nApache\n")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("SYSTEM x\n", "no FROM"),
        ("FROM x\nSISTEM y\n", "Modelfile:2: no instruction"),
        ("FROM x\nPARAMETER heat 1\n", "no parameter: 'heat'"),
        ("FROM x\nPARAMETER num_ctx many\n", "no int"),
        ("FROM x\nPARAMETER temperature nan\n", "no float"),
        ("FROM x\nPARAMETER stop\n", "no str"),
        ("FROM x\nMESSAGE tool y\n", "no role: 'tool'"),
        ("FROM x\nFROM y\n", "a second FROM"),
        ('FROM x\nSYSTEM """a\nb\n', "Modelfile:2: a quotation that does not end"),
        ('FROM x\nSYSTEM """a""" b\n', "a quotation that does not end"),
        ("FROM\n", "FROM without a value"),
        ('FROM x\nSYSTEM """a"""b"""\n', "inside a quotation"),
    ],
)
def test_what_is_not_of_the_grammar_is_refused(text: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        read_modelfile(text)


@settings(deadline=None)
@given(st.text(st.sampled_from('FROMfrom x"\n#PARAMETERstop{}é'), max_size=60))
def test_no_text_makes_the_reader_stumble(text: str) -> None:
    try:
        found = read_modelfile(text)
    except InputError:
        return
    assert any(name == "FROM" for name, _ in found)


@pytest.mark.parametrize("thinks", [True, False])
def test_the_template_stands_in_a_modelfile(thinks: bool) -> None:
    wanted = [FROM, Instruction("TEMPLATE", go_template(thinks=thinks))]
    assert read_modelfile(write_modelfile(wanted)) == wanted

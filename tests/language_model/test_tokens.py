"""Which tokens a prompt, an option, the beginning of a text and padding are, for tokenizers of many kinds."""

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from pipeline.core.errors import PipelineError
from pipeline.language_model.answers import ask, check_questions, pad_right, plan, tokenize
from pipeline.language_model.loading import leading_tokens, load_tokenizer
from tests.support.tiny_lm import gemma, save_model, word_tokenizer

PROBE = {"prompt": "sky is", "answer": "blue", "options": ["red", "blue", "gray", "pink"]}


def fast(core: Tokenizer, **special: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=core, **special)


def llama_2() -> PreTrainedTokenizerFast:
    """Letters and whole words, with SentencePiece's space put in front of every text that is tokenised."""
    words = ["<unk>", "<s>", "</s>", "\u2581", *"skyisbluredgaprn", "\u2581sky", "\u2581is", "\u2581blue", "\u2581red"]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*words, "\u2581gray", "\u2581pink"]))}
    core = Tokenizer(models.Unigram([(word, -1.0 if len(word) > 1 else -9.0) for word in vocabulary], unk_id=0))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    core.decoder = decoders.Metaspace()
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return fast(core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def words(front: str = "", end: str = "", lower: bool = False, **special: str) -> PreTrainedTokenizerFast:
    """A token a word, with special tokens in front and at the end of a text."""
    names = ["<unk>", "<bos>", "<eos>", "<a>", "sky", "is", "red", "blue", "gray", "pink", "a"]
    core = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    if lower:
        core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = [(mark, names.index(mark)) for mark in dict.fromkeys(f"{front} {end}".split())]
    core.post_processor = processors.TemplateProcessing(single=f"{front} $A {end}".strip(), special_tokens=marks)
    return fast(core, unk_token="<unk>", **special)


def test_options_of_a_tokenizer_that_puts_a_space_in_front_differ_in_their_first_token() -> None:
    """Alone, each option of Llama 2's kind begins with the same token, which no running text has there."""
    tokenizer = llama_2()
    alone = {tokenizer(f" {text}", add_special_tokens=False)["input_ids"][0] for text in PROBE["options"]}
    assert len(alone) == 1
    question = tokenize(PROBE, tokenizer)
    assert len({tokens[0] for tokens in question.option_tokens}) == 4
    for text, tokens, at in zip(PROBE["options"], question.option_tokens, question.input_of_option, strict=True):
        assert [*question.inputs[at], tokens[-1]] == tokenizer(f"sky is {text}")["input_ids"]
        assert question.inputs[at][: question.n_prompt] == tuple(tokenizer("sky is")["input_ids"])


@pytest.mark.parametrize(
    ("tokenizer", "front"),
    [
        (words(), []),
        (words("<bos>"), [1]),
        (words("<a> <bos>"), [3, 1]),  # two, as ChatGLM has
        (words("<bos>", "<eos>"), [1]),  # an end of text is no beginning, and must not stand before an answer
        (words(end="<eos>"), []),
        (words(bos_token="<bos>"), []),  # a BOS that is named, and never put in front: Qwen, GPT-2
        (llama_2(), [1]),
        (word_tokenizer(), [2]),
    ],
)
def test_the_tokenizer_decides_what_begins_a_text(tokenizer: PreTrainedTokenizerFast, front: list[int]) -> None:
    assert leading_tokens(tokenizer) == front
    probe = {"prompt": "sky is", "answer": "blue", "options": ["blue", "w1"]}
    plain = tokenizer("sky is", add_special_tokens=False)["input_ids"]
    question = tokenize(probe, tokenizer)
    assert list(question.inputs[0][: question.n_prompt]) == [*front, *plain]


def test_a_last_token_that_merges_with_the_option_belongs_to_the_option() -> None:
    vocabulary = {"<unk>": 0, "a": 1, " ": 2, "x": 3, "y": 4, "b ": 5, "b": 6, "ab": 7, "b x": 8}
    core = Tokenizer(models.Unigram([(word, -1.0 if len(word) > 1 else -9.0) for word in vocabulary], unk_id=0))
    question = tokenize({"prompt": "aab", "answer": "x", "options": ["x", "y"]}, fast(core, unk_token="<unk>"))
    for tokens, at, text in zip(question.option_tokens, question.input_of_option, ("x", "y"), strict=True):
        assert [*question.inputs[at], tokens[-1]] == list(core.encode(f"aab {text}").ids)
        assert question.inputs[at][question.n_prompt :] == tokens[:-1]
        assert question.n_prompt >= 1


@pytest.mark.parametrize(
    ("probe", "tokenizer", "sentence"),
    [
        (
            {"options": ["blue", "BLUE", "red", "pink"]},
            words(lower=True),
            "reads the options 'blue' and 'BLUE' as the same",
        ),
        ({"options": ["blue", "x"], "answer": "x"}, words(), None),  # one unknown word differs from the known ones
        ({"options": ["x", "y"], "answer": "x"}, words(), "reads the options 'x' and 'y' as the same tokens"),
        ({"options": ["x", "y", "blue"], "answer": "blue"}, words(), None),  # two wrong ones may look the same
        ({"options": ["blue", " "]}, words(), "has no token for the option ' '"),
        ({"prompt": ""}, words(), "has no token in front of its options"),
        ({"prompt": ""}, words("<bos>"), None),  # the first token can be predicted from BOS
    ],
)
def test_probes_that_a_tokenizer_cannot_ask(
    probe: dict, tokenizer: PreTrainedTokenizerFast, sentence: str | None
) -> None:
    if sentence is None:
        tokenize(PROBE | probe, tokenizer)
    else:
        with pytest.raises(PipelineError, match=sentence):
            tokenize(PROBE | probe, tokenizer)


def test_any_id_pads_and_none_as_well() -> None:
    ids, mask = pad_right([[5, 6], [7]], None)
    assert ids.tolist() == [[5, 6], [7, 0]] and mask.tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize("pad", [None, 0, 1, 5, 63])
def test_answers_do_not_depend_on_what_pads(pad: int | None) -> None:
    tokenizer = word_tokenizer()
    probes = [
        {"prompt": " ".join(f"w{i + j}" for j in range(i + 1)), "answer": "w1 w2", "options": ["w1 w2", "w3", "w4 w5"]}
        for i in range(4)
    ]
    expected = ask(gemma(), tokenizer, probes)
    tokenizer.pad_token = None if pad is None else tokenizer.convert_ids_to_tokens(pad)
    found = ask(gemma(), tokenizer, probes)
    assert len(plan([tokenize(probe, tokenizer) for probe in probes], pad)) == 1, "one batch, which is padded"
    torch.testing.assert_close(found.scores_qo, expected.scores_qo)


def test_a_padding_token_beyond_the_embedding_is_taken_away(tmp_path) -> None:
    save_model(tmp_path)
    tokenizer = word_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id == 64, "the first id that the model's embedding of 64 rows lacks"
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.pad_token_id is None
    probe = {"prompt": "w1", "answer": "w2", "options": ["w2", "w3 w4"]}
    assert ask(gemma(), loaded, [probe]).choice_q.shape == (1,)


def test_a_prompt_beyond_the_positions_is_refused_with_the_lengths() -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=8, n_embd=16, n_layer=1, n_head=1)).eval()
    fits = {"prompt": " ".join(["w1"] * 7), "answer": "w2", "options": ["w2", "w3"]}
    ask(model, word_tokenizer(), [fits])
    with pytest.raises(PipelineError, match="a probe with its answer has 10 tokens, but the model reads at most 8"):
        ask(model, word_tokenizer(), [fits, fits | {"prompt": fits["prompt"] + " w4"}])


def test_a_token_that_the_embedding_lacks_is_refused() -> None:
    tokenizer = word_tokenizer()
    tokenizer.add_tokens(["new"])
    question = tokenize({"prompt": "w1", "answer": "new", "options": ["new", "w2"]}, tokenizer)
    with pytest.raises(PipelineError, match="the tokenizer gives the token 64, but the model knows 64 only"):
        check_questions([question], gemma().config)

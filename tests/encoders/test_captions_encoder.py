"""What the encoders of captions keep: a sum over captions, each with its pose, whatever was said, nothing included."""

import itertools
import json
import re

import pytest
import torch

from zoo.encoders.captions import Captions
from zoo.encoders.sentence import Sentence
from zoo.episode import Views
from zoo.errors import ConfigError
from zoo.model.interfaces import ViewShape
from zoo.registry.registry import default_registry
from zoo.registry.variant import build
from zoo.training.memory import check_model_memory

POSES, SCENES, NUMBER, LENGTH, CHANNELS = 7, 2, 3, 48, 12
VIEW = ViewShape(channels=0, height=0, width=0, pose_width=POSES)
SAID = [
    "a red sphere is left of the blue cube",
    "The green cone!",
    "",
    "nothing here, 3 times",
    "a blue cube is behind a red sphere",
    "Zoë",
]
VOCABULARY = sorted({word for text in SAID for word in re.findall(r"\w+", text.lower())})
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *VOCABULARY, "!", ","]


def write_model(folder, *, seed=0, positions=128, layers=2, weights=True, special=True, dtype=torch.float32):
    """A tiny BERT with random weights, as a user would have it on disk."""
    import tokenizers
    import transformers

    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        initializer_range=0.5,
    )
    transformers.BertModel(config).to(dtype).save_pretrained(folder)
    if not weights:
        (folder / "model.safetensors").unlink()
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = write_model(tmp_path_factory.mktemp("language"))
    bare = write_model(tmp_path_factory.mktemp("bare"), special=False)
    torch.manual_seed(0)
    small = {"channels": CHANNELS, "text_channels": 8, "heads": 2}
    return {
        "captions": Captions(Captions.Config(**small), view=VIEW).double().eval(),
        "captions with n-grams": Captions(Captions.Config(**small, ngram=3), view=VIEW).double().eval(),
        "sentence": Sentence(Sentence.Config(path=str(folder), channels=CHANNELS), view=VIEW).double().eval(),
        "sentence without marks": Sentence(Sentence.Config(path=str(bare), channels=CHANNELS), view=VIEW)
        .double()
        .eval(),
    }


NAMES = ["captions", "captions with n-grams", "sentence", "sentence without marks"]


@pytest.fixture(params=NAMES)
def encoder(request, encoders):
    with torch.no_grad():
        yield encoders[request.param]


def encoded(texts, length=LENGTH):
    return torch.tensor([list(text.encode().ljust(length, b"\0")) for text in texts], dtype=torch.uint8)


def views(*, number=NUMBER, seed=0, said=SAID):
    generator = torch.Generator().manual_seed(seed)
    return Views(
        values=encoded([said[index % len(said)] for index in range(SCENES * number)]).view(SCENES, number, LENGTH)
        if number
        else torch.zeros(SCENES, 0, LENGTH, dtype=torch.uint8),
        poses=torch.randn(SCENES, number, POSES, dtype=torch.float64, generator=generator),
        mask=torch.ones(SCENES, number, dtype=torch.bool),
    )


def joined(*parts):
    return Views(*(torch.cat(fields, dim=1) for fields in zip(*parts, strict=True)))


def close(one, other, tolerance=1e-11):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_shapes_are_as_declared(encoder):
    found = encoder(views())
    assert tuple(encoder.shape) == (CHANNELS, 1, 1)
    assert found.pooled.shape == (SCENES, CHANNELS, 1, 1)
    assert found.per_view.shape == (SCENES, NUMBER, CHANNELS, 1, 1)
    assert encoder.features == {"pooled", "per_view"}
    assert encoder.context_kind == "captions"


def test_every_caption_is_encoded_by_itself_and_summed_in_any_order(encoder):
    given = views()
    whole = encoder(given)
    close(whole.pooled, whole.per_view.sum(1))
    for order in itertools.permutations(range(NUMBER)):
        close(encoder(Views(*(field[:, list(order)] for field in given))).pooled, whole.pooled)
    for index in range(NUMBER):
        alone = encoder(Views(*(field[1:, [index]] for field in given)))
        close(alone.per_view[0, 0], whole.per_view[1, index])


def test_padded_views_change_nothing(encoder):
    given = views()
    blank = views(number=2, seed=5)._replace(mask=torch.zeros(SCENES, 2, dtype=torch.bool))
    close(encoder(joined(blank, given)).pooled, encoder(given).pooled)


def test_the_length_of_the_padding_changes_nothing(encoder):
    given = views()
    longer = torch.cat([given.values, torch.zeros(SCENES, NUMBER, 30, dtype=torch.uint8)], dim=-1)
    close(encoder(given._replace(values=longer)).pooled, encoder(given).pooled)


def test_no_captions_give_zeros_and_empty_captions_do_not(encoder):
    found = encoder(views(number=0))
    assert torch.equal(found.pooled, torch.zeros(SCENES, CHANNELS, 1, 1, dtype=torch.float64))
    assert found.per_view.shape == (SCENES, 0, CHANNELS, 1, 1)
    empty = encoder(views(said=[""])).pooled
    assert torch.isfinite(empty).all()
    assert empty.abs().max() > 0


def test_captions_and_poses_count_and_belong_together(encoder):
    given = views()
    before = encoder(given).pooled
    for changed in (
        given._replace(poses=given.poses[:, [1, 0, 2]]),
        given._replace(values=given.values[:, [1, 0, 2]]),
        given._replace(poses=given.poses + 0.5),
        given._replace(values=encoded(["the cone is a sphere"])[None].expand(SCENES, NUMBER, -1)),
    ):
        assert (encoder(changed).pooled - before).abs().amax(dim=(1, 2, 3)).min() > 1e-6


def test_any_bytes_are_a_caption(encoder):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (SCENES, NUMBER, LENGTH), dtype=torch.uint8, generator=generator)
    noise[0, 0] = 255
    assert torch.isfinite(encoder(views()._replace(values=noise)).pooled).all()


@pytest.mark.parametrize("name", NAMES)
def test_training_mode_computes_the_same(encoders, name):
    encoder = encoders[name]
    with torch.no_grad():
        expected = encoder(views()).pooled
        try:
            found = encoder.train()(views()).pooled
        finally:
            encoder.eval()
    close(found, expected)


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_trained_parameter_is_in_the_graph(encoders, name, number):
    encoder = encoders[name]
    encoder.zero_grad(set_to_none=True)
    encoder(views(number=number)).pooled.square().sum().backward()
    trained = {key: value for key, value in encoder.named_parameters() if value.requires_grad}
    assert [key for key, value in trained.items() if value.grad is None] == []
    if number == 3:
        assert [key for key, value in trained.items() if not value.grad.abs().max() > 0] == []
    assert all(key.startswith("fusion.") for key in trained) == name.startswith("sentence")


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="heads 3"):
        Captions(Captions.Config(text_channels=8, heads=3), view=VIEW)


class TestSentence:
    def test_its_vectors_are_the_means_over_the_tokens_of_the_model(self, tmp_path):
        import transformers

        write_model(tmp_path)
        encoder = Sentence(Sentence.Config(path=str(tmp_path), channels=4), view=VIEW)
        model = transformers.BertModel.from_pretrained(tmp_path).eval()
        found = encoder.sentences(encoded(SAID))
        for index, text in enumerate(SAID):
            words = re.findall(r"\w+|[!,]", text.lower())
            ids = torch.tensor([[2, *(WORDS.index(word) for word in words), 3]])
            with torch.no_grad():
                expected = model(input_ids=ids).last_hidden_state[0].mean(0)
            torch.testing.assert_close(found[index], expected, rtol=1e-4, atol=1e-5)

    def test_nothing_is_printed(self, tmp_path, capfd, caplog):
        write_model(tmp_path)
        capfd.readouterr()
        Sentence(Sentence.Config(path=str(tmp_path)), view=VIEW)
        assert capfd.readouterr() == ("", "")
        assert caplog.records == []

    def test_it_comes_back_from_the_weights_of_a_checkpoint(self, tmp_path):
        write_model(tmp_path)
        config = Sentence.Config(path=str(tmp_path), channels=4)
        one, other = (Sentence(config, view=VIEW) for _ in range(2))
        other.load_state_dict(one.state_dict())
        given = views()._replace(poses=views().poses.float())
        torch.testing.assert_close(one(given).pooled, other(given).pooled)

    def test_the_estimate_of_memory_does_not_refuse_it(self, tmp_path):
        """transformers loads nothing onto the meta device, on which the estimate builds a model; no run could start."""
        write_model(tmp_path)
        variant = default_registry().variant(
            "slim", size="smoke", overrides=[f"encoder={{use: sentence, path: {json.dumps(str(tmp_path))}}}"]
        )
        check_model_memory(variant, device=torch.device("cpu"))
        assert build(variant).encoder.width == 16

    def test_weights_in_half_precision_are_used_in_single(self, tmp_path):
        write_model(tmp_path, dtype=torch.bfloat16)
        encoder = Sentence(Sentence.Config(path=str(tmp_path), channels=4), view=VIEW)
        assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
        given = views()._replace(poses=views().poses.float())
        assert torch.isfinite(encoder(given).pooled).all()

    def test_a_folder_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(ConfigError, match=r"encoder\.path: .*nowhere has no config\.json"):
            Sentence(Sentence.Config(path=str(tmp_path / "nowhere")), view=VIEW)

    def test_weights_in_other_formats_are_never_read(self, tmp_path):
        write_model(tmp_path, weights=False)
        torch.save({"never": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
        with pytest.raises(ConfigError, match=r"has no \*\.safetensors"):
            Sentence(Sentence.Config(path=str(tmp_path)), view=VIEW)

    def test_damaged_files_are_refused_in_one_sentence(self, tmp_path):
        write_model(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(b"not weights")
        with pytest.raises(ConfigError, match="cannot be used as an encoder") as caught:
            Sentence(Sentence.Config(path=str(tmp_path)), view=VIEW)
        assert "\n" not in str(caught.value)

    def test_code_in_the_folder_is_never_run(self, tmp_path):
        write_model(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        (tmp_path / "code.py").write_text("raise SystemExit('the code was run')")
        with pytest.raises(ConfigError, match="cannot be used as an encoder"):
            Sentence(Sentence.Config(path=str(tmp_path)), view=VIEW)

    def test_weights_that_lack_a_layer_are_refused(self, tmp_path):
        write_model(tmp_path, layers=1)
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
        with pytest.raises(ConfigError, match=r"lack 'encoder\.layer\.1"):
            Sentence(Sentence.Config(path=str(tmp_path)), view=VIEW)

    def test_more_tokens_than_the_model_has_places_for_are_refused(self, tmp_path):
        write_model(tmp_path, positions=16)
        with pytest.raises(ConfigError, match="up to 17 tokens"):
            Sentence(Sentence.Config(path=str(tmp_path), max_tokens=17), view=VIEW)
        encoder = Sentence(Sentence.Config(path=str(tmp_path), max_tokens=16), view=VIEW)
        assert torch.isfinite(encoder.sentences(encoded(["red " * 60], length=300))).all()

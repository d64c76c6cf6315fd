"""The model repository: whole versions, checked files, releases that bind them."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from interest.errors import InvalidRelease
from ranking.release import ManifestFields, ModelRepository, Release

FIELDS = ManifestFields(created=1_700_000_000.0, dims={"rank": 3}, metrics={"ndcg": 0.5}, data_fingerprint="abc")


def write_vectors(folder: Path) -> None:
    save_file({"vectors": np.arange(12, dtype=np.float32).reshape(4, 3)}, folder / "vectors.safetensors")
    (folder / "items.json").write_text('["a", "b", "c", "d"]')


@pytest.fixture
def repository(tmp_path: Path) -> ModelRepository:
    repository = ModelRepository(tmp_path)
    repository.write_version("interest", "1", write_vectors, FIELDS)
    return repository


def test_a_version_opens_with_what_its_manifest_says(repository: ModelRepository) -> None:
    version = repository.open_version("interest", "1")
    assert version.manifest["tensors"] == {"vectors.safetensors": {"vectors": [4, 3]}}
    assert version.manifest["metrics"] == {"ndcg": 0.5}
    assert version.manifest["data_fingerprint"] == "abc"
    assert sorted(version.manifest["files"]) == ["items.json", "vectors.safetensors"]
    version.require_dims(rank=3)


def test_a_deleted_version_is_gone_whole_and_its_number_is_not_given_again(repository: ModelRepository) -> None:
    repository.write_version("interest", "2", write_vectors, FIELDS)
    repository.delete_version("interest", "1")
    assert (repository.versions("interest"), repository.next_version("interest")) == (["2"], "3")
    assert [path.name for path in (repository.root / "interest").iterdir()] == ["2"]
    with pytest.raises(InvalidRelease, match="expected a version, found none"):
        repository.delete_version("interest", "1")


def test_a_flipped_byte_stops_with_file_expected_and_found_sum(repository: ModelRepository) -> None:
    path = repository.root / "interest" / "1" / "vectors.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidRelease, match=r"vectors\.safetensors: sha256 expected [0-9a-f]{64}, found [0-9a-f]{64}"):
        repository.open_version("interest", "1")


def test_a_cut_file_stops_with_its_sizes(repository: ModelRepository) -> None:
    path = repository.root / "interest" / "1" / "items.json"
    path.write_text("[]")
    with pytest.raises(InvalidRelease, match=r"items\.json: bytes expected 20, found 2"):
        repository.open_version("interest", "1")


def test_a_missing_file_stops_with_its_name(repository: ModelRepository) -> None:
    (repository.root / "interest" / "1" / "items.json").unlink()
    with pytest.raises(InvalidRelease, match=r"items\.json: expected a file of 20 bytes, found none"):
        repository.open_version("interest", "1")


def test_a_manifest_with_another_shape_stops_with_both_shapes(repository: ModelRepository) -> None:
    edit_manifest(repository, "tensors", {"vectors.safetensors": {"vectors": [4, 5]}})
    with pytest.raises(InvalidRelease, match=r"dims expected .*\[4, 5\].*, found .*\[4, 3\]"):
        repository.open_version("interest", "1")


def test_a_version_of_another_dim_is_refused_by_who_needs_it(repository: ModelRepository) -> None:
    version = repository.open_version("interest", "1")
    with pytest.raises(InvalidRelease, match=r"manifest\.json: dims\.rank expected 256, found 3"):
        version.require_dims(rank=256)


def test_a_tensor_file_that_is_none_is_an_invalid_release(repository: ModelRepository) -> None:
    def write(folder: Path) -> None:
        (folder / "vectors.safetensors").write_bytes(b"no tensors here, only words")

    with pytest.raises(InvalidRelease, match="expected a safetensors file"):
        repository.write_version("interest", "2", write, FIELDS)
    assert repository.versions("interest") == ["1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("[1]", "expected a JSON object, found list"), ("{", "expected JSON"), ("{}", "files expected an object")],
)
def test_a_broken_manifest_is_an_invalid_release(repository: ModelRepository, content: str, message: str) -> None:
    (repository.root / "interest" / "1" / "manifest.json").write_text(content)
    with pytest.raises(InvalidRelease, match=message):
        repository.open_version("interest", "1")


def test_an_unknown_version_is_an_invalid_release(repository: ModelRepository) -> None:
    with pytest.raises(InvalidRelease, match=r"manifest\.json: expected a file, found none"):
        repository.open_version("interest", "9")


def test_a_version_is_never_written_twice(repository: ModelRepository) -> None:
    with pytest.raises(InvalidRelease, match="versions never change"):
        repository.write_version("interest", "1", write_vectors, FIELDS)


def test_a_writer_that_fails_leaves_nothing_behind(repository: ModelRepository) -> None:
    def write(folder: Path) -> None:
        write_vectors(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        repository.write_version("interest", "2", write, FIELDS)
    assert [path.name for path in (repository.root / "interest").iterdir()] == ["1"]


def test_names_that_leave_the_folder_are_refused(repository: ModelRepository) -> None:
    with pytest.raises(InvalidRelease, match="a name is"):
        repository.open_version("../secrets", "1")


def test_versions_count_up_by_number(repository: ModelRepository) -> None:
    for version in ("2", "10"):
        repository.write_version("interest", version, write_vectors, FIELDS)
    assert repository.versions("interest") == ["1", "2", "10"]
    assert repository.next_version("interest") == "11"
    assert repository.next_version("encoder") == "1"


def test_a_release_comes_back_as_it_was_written(repository: ModelRepository) -> None:
    release = Release(name="1", created=5.0, models={"interest": "1"}, metrics={"ndcg": 0.5}, details={"seed": 7})
    repository.write_release(release)
    assert repository.read_release("1") == release
    with pytest.raises(InvalidRelease, match="releases never change"):
        repository.write_release(release)


def test_the_latest_release_is_the_one_created_last(repository: ModelRepository) -> None:
    assert repository.latest() is None
    for name, created in (("1", 10.0), ("2", 30.0), ("3", 20.0)):
        repository.write_release(Release(name=name, created=created, models={"interest": "1"}))
    latest = repository.latest()
    assert latest is not None
    assert latest.name == "2"
    assert repository.next_release() == "4"


@pytest.mark.parametrize(
    ("models", "message"),
    [({"interest": "7"}, "interest version 7 is not in"), ({"oracle": "1"}, "stage 'oracle' is none of")],
)
def test_a_release_of_what_is_not_there_is_refused(
    repository: ModelRepository, models: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidRelease, match=message):
        repository.write_release(Release(name="1", created=0.0, models=models))


def test_a_release_file_with_unknown_fields_is_an_invalid_release(repository: ModelRepository) -> None:
    repository.write_release(Release(name="1", created=0.0, models={"interest": "1"}))
    path = repository.root / "releases" / "1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))
    with pytest.raises(InvalidRelease, match="colour"):
        repository.read_release("1")


def edit_manifest(repository: ModelRepository, key: str, value: object) -> None:
    path = repository.root / "interest" / "1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

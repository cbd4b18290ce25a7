import pytest

from cascade_rpn_d2.files.digest import sha256_of


def test_a_digest_is_that_of_the_contents(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"abc")  # the worked example of FIPS 180-2, appendix B.1
    assert sha256_of(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_that_is_not_there_has_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "file")

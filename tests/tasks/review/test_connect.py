"""The sources of the URL and the key of a team's Label Studio."""

import pytest
from prefect.blocks.system import Secret

from labeling.review.label_studio.credentials import TOKEN_VARIABLE, URL_VARIABLE
from tasks.review.connect import secret_from_prefect


@pytest.mark.usefixtures("prefect")
def test_a_secret_block_replaces_an_unset_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert secret_from_prefect(TOKEN_VARIABLE) is None
    Secret(value="from the block").save("maskmill-label-studio-api-key", overwrite=True)
    try:
        assert secret_from_prefect(TOKEN_VARIABLE) == "from the block"
        monkeypatch.setenv(TOKEN_VARIABLE, "from the environment")
        assert secret_from_prefect(TOKEN_VARIABLE) == "from the environment"
        assert secret_from_prefect(URL_VARIABLE) is None
    finally:
        Secret.delete("maskmill-label-studio-api-key")

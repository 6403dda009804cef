"""What the bot would do with a configuration, in words, a line a thing."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from kappa_bot.config import Config


def in_words(config: Config) -> Iterator[str]:
    """Reads every secret file that the bot would read, and says of none what is in it. Raises FatalError."""
    config.token()
    server = f"{config.telegram.base_url}<token>"
    if config.webhook is None:
        yield f"receive by polling {server}, {config.telegram.poll_timeout_s} s at a time"
    else:
        config.webhook_secret()
        webhook = config.webhook
        yield f"receive by webhook: have {server} bring updates to {webhook.url}, {webhook.max_connections} at a time"
        source = f" and comes from {', '.join(webhook.networks)}" if webhook.networks else ""
        yield (
            f"listen for them on {webhook.listen} at {urlsplit(webhook.url).path}, for who knows the secret token in "
            f"{webhook.secret_file}{source}"
        )
        if webhook.certificate:
            config.webhook_certificate()
            yield f"have Telegram trust the certificate {webhook.certificate}"
        yield f"ask Telegram every {config.telegram.poll_timeout_s} s how deliveries go"
    yield f"know its token from {config.telegram.token_file}"
    config.password()
    yield f"keep everything in the database {config.mongodb.database} at {config.mongodb.uri}"
    yield (
        f"log in there as {config.mongodb.user}, known to {config.mongodb.auth_database}, with the password in "
        f"{config.mongodb.password_file}"
    )
    config.id_key()
    yield f"know users by a hash keyed with {config.id_key_file}"
    yield f"hold a lease of {config.lease_ttl_s:g} s, renewed every {config.lease_ttl_s / 3:.1f} s"
    yield f"answer at {config.socket}"
    if config.metrics is not None:
        yield f"show metrics at http://{config.metrics.listen}/metrics"
    yield f"log to stderr, a line of {'JSON' if config.log_format == 'json' else 'text'} an event"

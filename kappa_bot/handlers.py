"""python-telegram-bot's handlers: which update is which step. They fill the update's `Turn` and send nothing.

`Application.process_update` picks the handler as it does in any python-telegram-bot program; the turn under way is
found in the context, through a context variable, because the library builds its contexts itself.
"""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from telegram import Bot, Update
from telegram.ext import (
    Application,
    CallbackContext,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    filters,
)

from kappa_bot import dialogue
from kappa_bot.catalogue import Catalogue
from kappa_bot.texts import nearest
from kappa_bot.turn import Dialogue, Turn

ALLOWED_UPDATES = ("message", "callback_query")
"""All that the handlers below look at; said with every getUpdates, so that an earlier setting does not linger."""

_current: ContextVar[Turn] = ContextVar("turn")

Data = dict[Any, Any]
Context = CallbackContext[Bot, Data, Data, Data]
App = Application[Bot, Context, Data, Data, Data, None]
Handler = Callable[[Update, Context], Coroutine[Any, Any, None]]


def build_application(bot: Bot) -> App:
    """The library's application without its Updater (which acknowledges before the work is done) and its job queue."""
    application: App = (
        Application.builder()
        .bot(bot)
        .updater(None)
        .job_queue(None)
        .context_types(ContextTypes(context=CallbackContext))
        .build()
    )
    # Neither groups nor edits: a message that is edited later is not said anew.
    private = filters.ChatType.PRIVATE & filters.UpdateType.MESSAGE
    application.add_handlers(
        [
            CommandHandler(["start", "iniciar"], _simple(dialogue.start), private),
            CommandHandler(["todo", "hacer"], _simple(dialogue.menu), private),
            CommandHandler(["register", "registrar"], _simple(dialogue.register), private),
            CommandHandler(["search", "buscar"], _simple(dialogue.search), private),
            CommandHandler(["near", "cerca"], _simple(dialogue.near), private),
            CommandHandler(["complain", "queja"], _simple(dialogue.complain), private),
            CommandHandler(["forget", "olvidar"], _simple(dialogue.forget), private),
            CommandHandler(["help", "ayuda"], _simple(dialogue.help_), private),
            CommandHandler(["cancel", "cancelar"], _simple(dialogue.cancel), private),
            # Telegram takes /categoría for the command /categor: a command has no accents.
            CommandHandler(["category", "categoria", "categor"], _with_words(dialogue.new_category), private),
            CommandHandler(
                ["subcategory", "subcategoria", "subcategor"], _with_words(dialogue.new_subcategory), private
            ),
            CommandHandler(["message", "mensaje"], _with_words(dialogue.describe), private),
            MessageHandler(private & filters.LOCATION, _location),
            MessageHandler(private & filters.TEXT & ~filters.COMMAND, _words),
            CallbackQueryHandler(_button),
            MessageHandler(private & ~filters.StatusUpdate.ALL, _simple(dialogue.other)),
        ]
    )
    application.add_error_handler(_failed)
    return application


async def take_turn(
    application: App,
    update: Update,
    before: Dialogue,
    catalogue: Catalogue,
    improper: Callable[[str], bool] = lambda text: False,
) -> Turn:
    """Compute what an update does to a dialogue. Sends and stores nothing; a handler's exception is in `turn.error`."""
    query = update.callback_query
    user = update.effective_user
    turn = Turn(
        update_id=update.update_id,
        dialogue=before,
        catalogue=catalogue,
        greeting=nearest(user.language_code if user is not None else None),
        message_id=query.message.message_id if query is not None and query.message is not None else None,
        query_id=query.id if query is not None else None,
        improper=improper,
    )
    reset = _current.set(turn)
    try:
        await application.process_update(update)
    finally:
        _current.reset(reset)
    return turn


def _simple(do: Callable[[Turn], None]) -> Handler:
    async def handler(update: Update, context: Context) -> None:
        do(_current.get())

    return handler


async def _location(update: Update, context: Context) -> None:
    message = update.effective_message
    assert message is not None and message.location is not None
    dialogue.location(_current.get(), message.location.longitude, message.location.latitude)


async def _words(update: Update, context: Context) -> None:
    message = update.effective_message
    assert message is not None and message.text is not None
    dialogue.words(_current.get(), message.text)


def _with_words(do: Callable[[Turn, str], None]) -> Handler:
    """A command and what follows it, as it was written."""

    async def handler(update: Update, context: Context) -> None:
        message = update.effective_message
        assert message is not None and message.text is not None
        words = message.text.split(maxsplit=1)
        do(_current.get(), words[1] if len(words) > 1 else "")

    return handler


async def _button(update: Update, context: Context) -> None:
    query = update.callback_query
    assert query is not None
    dialogue.button(_current.get(), query.data or "")


async def _failed(update: object, context: Context) -> None:
    _current.get().error = context.error

"""The bot of the stock configuration: the same dialogue, written in python-telegram-bot's ordinary way.

    bot.py TOKEN_FILE BASE_URL MONGODB_URI PASSWORD_FILE [DATABASE]

As the library's own examples have it: its Updater polls and confirms a batch with the next poll, done or not; a
ConversationHandler in the process's memory knows how far each user is; a place is stored with a plain insert and is
then answered for. No lease, no key that would make a second insert of the same update fail, nothing that another node
could go on with. It says what the shipped bot says (the texts are its), in the same steps.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, KeyboardButton, ReplyKeyboardMarkup, Update
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    ConversationHandler,
    MessageHandler,
    filters,
)

from kappa_bot.texts import LANGUAGES, nearest, say

Context = ContextTypes.DEFAULT_TYPE
Document = dict[str, Any]

LANGUAGE, TERMS, MENU, LOCATION, CATEGORY, SUBCATEGORY, DESCRIPTION = range(7)
START = ("start", "iniciar")
TODO = ("todo", "hacer")


class Bot:
    def __init__(self, database: Any) -> None:
        self._database = database

    async def start(self, update: Update, context: Context) -> int:
        assert update.message is not None
        text = "\n\n".join(say(language, "choose_language") for language in LANGUAGES)
        buttons = [[(say(language, "language_name"), language) for language in LANGUAGES]]
        await update.message.reply_text(text, reply_markup=keyboard(buttons))
        return LANGUAGE

    async def language(self, update: Update, context: Context) -> int:
        query, data = update.callback_query, memory(context)
        assert query is not None
        data["language"] = query.data
        buttons = [[(word(update, context, key), key) for key in ("accept", "reject")]]
        await query.answer()
        await query.edit_message_text(word(update, context, "terms"), reply_markup=keyboard(buttons))
        return TERMS

    async def terms(self, update: Update, context: Context) -> int:
        query = update.callback_query
        assert query is not None
        await query.answer()
        if query.data != "accept":
            await query.edit_message_text(word(update, context, "rejected"))
            return ConversationHandler.END
        await query.edit_message_text(
            word(update, context, "accepted"),
            reply_markup=keyboard([[(word(update, context, "menu_register"), "register")]]),
        )
        return MENU

    async def menu(self, update: Update, context: Context) -> int:
        assert update.message is not None
        await update.message.reply_text(
            word(update, context, "what_to_do"),
            reply_markup=keyboard([[(word(update, context, "menu_register"), "register")]]),
        )
        return MENU

    async def register(self, update: Update, context: Context) -> int:
        query = update.callback_query
        assert query is not None and update.effective_chat is not None
        await query.answer()
        share = KeyboardButton(word(update, context, "share_location_button"), request_location=True)
        await update.effective_chat.send_message(
            word(update, context, "share_location"),
            reply_markup=ReplyKeyboardMarkup([[share]], resize_keyboard=True, one_time_keyboard=True),
        )
        return LOCATION

    async def location(self, update: Update, context: Context) -> int:
        assert update.message is not None and update.message.location is not None
        here = update.message.location
        memory(context)["coordinates"] = [here.longitude, here.latitude]
        name = f"Name_{tongue(update, context)}"
        buttons = [
            [(document[name], str(document["_id"]))]
            for document in await self._database.Categories.find().sort(name, 1).to_list()
        ]
        await update.message.reply_text(word(update, context, "choose_category"), reply_markup=keyboard(buttons))
        return CATEGORY

    async def category(self, update: Update, context: Context) -> int:
        query, data = update.callback_query, memory(context)
        assert query is not None
        await query.answer()
        name = f"Name_{tongue(update, context)}"
        category = next(d for d in await self._database.Categories.find().to_list() if str(d["_id"]) == query.data)
        subcategories = await self._database.Subcategories.find({"Category": category["_id"]}).sort(name, 1).to_list()
        data["category"] = category[name]
        data["subcategories"] = {str(document["_id"]): document for document in subcategories}
        await query.edit_message_text(
            word(update, context, "choose_subcategory", category=category[name]),
            reply_markup=keyboard([[(document[name], id_)] for id_, document in data["subcategories"].items()]),
        )
        return SUBCATEGORY

    async def subcategory(self, update: Update, context: Context) -> int:
        query, data = update.callback_query, memory(context)
        assert query is not None and query.data is not None
        await query.answer()
        chosen = data["subcategories"][query.data]
        data["subcategory"] = chosen["_id"]
        names = {"category": data["category"], "subcategory": chosen[f"Name_{tongue(update, context)}"]}
        await query.edit_message_text(word(update, context, "describe", **names))
        return DESCRIPTION

    async def description(self, update: Update, context: Context) -> int:
        data = memory(context)
        assert update.message is not None and update.message.text is not None
        await self._database.Data.insert_one(place(update.update_id, update.message.text, data))
        await update.message.reply_text(word(update, context, "stored"))
        return ConversationHandler.END


def place(update_id: int, text: str, data: Document) -> Document:
    """A place as both bots store it. The update is noted, as it would be to find it in a log; nothing depends on it."""
    return {
        "type": "Feature",
        "properties": {"Subcategory": data["subcategory"], "Popup_en": text, "Popup_es": text},
        "geometry": {"type": "Point", "coordinates": data["coordinates"]},
        "complaints": 0,
        "complaintsUsers": [],
        "creationDate": datetime.now(UTC),
        "updateId": update_id,
    }


def memory(context: Context) -> Document:
    assert context.user_data is not None
    return context.user_data


def tongue(update: Update, context: Context) -> str:
    """The language chosen, or that of the user's Telegram."""
    assert update.effective_user is not None
    return str(memory(context).get("language") or nearest(update.effective_user.language_code))


def word(update: Update, context: Context, key: str, **values: object) -> str:
    return say(tongue(update, context), key, **values)


def keyboard(buttons: list[list[tuple[str, str]]]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(text, callback_data=data) for text, data in row] for row in buttons]
    )


def conversation(bot: Bot) -> "ConversationHandler[Context]":
    words = filters.TEXT & ~filters.COMMAND
    return ConversationHandler(
        entry_points=[
            CommandHandler(START, bot.start),
            CommandHandler(TODO, bot.menu),
        ],
        states={
            LANGUAGE: [CallbackQueryHandler(bot.language)],
            TERMS: [CallbackQueryHandler(bot.terms)],
            MENU: [CallbackQueryHandler(bot.register)],
            LOCATION: [MessageHandler(filters.LOCATION, bot.location)],
            CATEGORY: [CallbackQueryHandler(bot.category)],
            SUBCATEGORY: [CallbackQueryHandler(bot.subcategory)],
            DESCRIPTION: [MessageHandler(words, bot.description)],
        },
        fallbacks=[],
        allow_reentry=True,
    )


def main() -> None:
    token, base_url, uri, password, *more = sys.argv[1:]
    database = more[0] if more else "kappa"
    client: AsyncMongoClient[Document] = AsyncMongoClient(
        uri, username="kappa_bot", password=Path(password).read_text().strip(), authSource=database
    )
    application = Application.builder().token(Path(token).read_text().strip()).base_url(base_url).build()
    application.add_handler(conversation(Bot(client[database])))
    application.run_polling()


if __name__ == "__main__":
    main()

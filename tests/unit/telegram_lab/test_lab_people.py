"""The simulated users: they walk through whole dialogues and notice what a person would notice."""

from tests.unit.telegram_lab.labserver import ScriptedBot, Server, answering, until


async def test_people_walk_through_whole_dialogues(server: Server) -> None:
    async with answering(ScriptedBot(server)) as bot:
        await server.control("POST", "/traffic", users=4, rate_per_s=200, seed=1, languages=["es", "en"])
        await until(lambda: server.lab.traffic.status()["dialogues_finished"] >= 8)
        await server.control("POST", "/traffic/stop", timeout_s=10)
        await until(lambda: not server.lab.traffic.running)
    print(server.journal.read_text()[:6000])
    print(await server.control("GET", "/traffic"))

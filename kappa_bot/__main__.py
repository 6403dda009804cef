from kappa_bot.cli import main

main()

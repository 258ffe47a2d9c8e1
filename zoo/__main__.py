"""``python -m zoo`` is ``gqn-zoo``; it is what ``accelerate launch -m zoo train ...`` and ``torchrun -m zoo`` start."""

from zoo.cli.main import main

if __name__ == "__main__":
    main()

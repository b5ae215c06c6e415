"""stub"""
from resilient.cli.demo import service
from resilient.cli.demo.bare import Bare
if __name__ == "__main__":
    service.main(Bare)

// JGit as a client: clone URL FOLDER | fetch URL FOLDER | push URL FOLDER REFSPEC.
// Its own SSH library knows no key exchange that is safe today: over SSH it runs the program that
// GIT_SSH names.

import java.io.File;
import java.net.URI;

import org.eclipse.jgit.api.Git;
import org.eclipse.jgit.api.TransportCommand;
import org.eclipse.jgit.transport.PushResult;
import org.eclipse.jgit.transport.RefSpec;
import org.eclipse.jgit.transport.RemoteRefUpdate;
import org.eclipse.jgit.transport.UsernamePasswordCredentialsProvider;

public class JGitClient {
    public static void main(String[] arguments) throws Exception {
        String url = arguments[1];
        File folder = new File(arguments[2]);
        if (arguments[0].equals("clone")) {
            with(url, Git.cloneRepository().setURI(url).setDirectory(folder)).call().close();
            return;
        }
        try (Git git = Git.open(folder)) {
            if (arguments[0].equals("fetch")) {
                with(url, git.fetch().setRemoveDeletedRefs(true)).call();
                return;
            }
            var push = git.push().setRemote(url).setRefSpecs(new RefSpec(arguments[3]));
            for (PushResult result : with(url, push).call()) {
                for (RemoteRefUpdate update : result.getRemoteUpdates()) {
                    if (update.getStatus() != RemoteRefUpdate.Status.OK) {
                        System.err.println("refused: " + update.getStatus() + " " + update.getMessage());
                        System.exit(1);
                    }
                }
            }
        }
    }

    private static <C extends TransportCommand<C, ?>> C with(String url, C command) {
        String user = URI.create(url).getUserInfo();
        if (user != null && user.contains(":")) {
            String[] parts = user.split(":");
            command.setCredentialsProvider(new UsernamePasswordCredentialsProvider(parts[0], parts[1]));
        }
        return command;
    }
}
